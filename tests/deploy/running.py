"""Real programs for tests, such as the server as an operator starts it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.forked import Forked
from tests.support.ports import free_port
from tests.support.processes import ROOT, end, environment
from tests.support.waiting import found

START = 60.0  # seconds, generous: the machine may be busy, and an agent may import a large library
STOP = 30.0


def wait_for_port(port: int, process: subprocess.Popen[Any] | Forked, output: Path | None = None) -> None:
    """Return once something listens. Raises `RuntimeError` if the process ends, or if the time is over.

    `output` is the file that it writes to: the error shows it if the process ended.
    """

    def listens() -> bool | None:
        if process.poll() is not None:
            said = f":\n{output.read_text(errors='replace')}" if output is not None else ""
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it listened{said}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0 or None

    found(listens, within=START, what=f"{process.args!r} does not listen on {port}")


@contextmanager
def running(command: list[str], *ports: int, cwd: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Run a program that listens on `ports`, and end it: politely first, then for good."""
    with subprocess.Popen(command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL) as process:
        try:
            for port in ports:
                wait_for_port(port, process)
            yield
        finally:
            end(process, STOP)


@contextmanager
def tailrace(folder: Path, *, python: str = sys.executable, **settings: str) -> Iterator[int]:
    """Run the server with the scripted models alone; yield its port. `settings` are in capitals, unprefixed."""
    port = free_port()
    ours = {"PORT": str(port), "DATA_DIR": str(folder), "SCRIPTED": "1", "EMBEDDED": "0", "OLLAMA_URL": "off"}
    env = environment({**ours, "DRAIN_TIMEOUT": "1", **settings})
    with running([python, "-m", "app", "serve"], port, cwd=ROOT, env=env):
        yield port
