"""The server as a process: started with an operator's settings, signalled, and watched to its end."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.running import wait_for_port
from tests.support import forked
from tests.support.forked import Forked
from tests.support.ports import free_port
from tests.support.processes import ROOT, environment

END = 30.0  # seconds, for a process to end on a busy machine


class Process:
    """A running `python -m app serve`."""

    def __init__(self, process: Forked | subprocess.Popen[bytes], port: int, log: Path) -> None:
        self._process = process
        self.pid = process.pid
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._log = log

    @property
    def log(self) -> str:
        """What it wrote so far, on standard output and standard error."""
        return self._log.read_text(encoding="utf-8")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end, bounded; return the exit code."""
        return self._process.wait(END)

    @property
    def exit_code(self) -> int | None:
        """The exit code, `None` while it runs."""
        return self._process.poll()


@contextmanager
def serving(folder: Path, cwd: Path = ROOT, /, **settings: str) -> Iterator[Process]:
    """Run the server with the scripted models alone, unless `settings` (in capitals, unprefixed) say otherwise."""
    ours = {"SCRIPTED": "1", "EMBEDDED": "0", "OLLAMA_URL": "off", "PORT": str(free_port()), **settings}
    port = int(ours["PORT"])
    env = environment({**ours, "DATA_DIR": str(folder)})
    path = folder / "output"
    with (
        path.open("wb") as output,
        forked.start(["serve"], cwd=cwd, env=env, output=output) as process,
    ):
        try:
            wait_for_port(port, process, path)
            yield Process(process, port, path)
        finally:
            process.kill()
