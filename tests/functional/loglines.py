"""The server's log lines as an operator reads them: in a file, with grep."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.telemetry.logging import configure
from tests.support.logs import restored_logging


class LogFile:
    """A log in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def grep(self, pattern: str) -> list[str]:
        """Return the lines that grep finds."""
        command = ["grep", "--", pattern, str(self.path)]
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
        assert found.returncode in (0, 1), found.stderr
        return found.stdout.splitlines()

    def events(self, session_id: str, *names: str) -> list[tuple[str, str]]:
        """Return the event and the trace of a session's lines, in order, of these events."""
        lines = [line.split() for line in self.grep(f" session={session_id}\\b")]
        return [(line[2], line[3].removeprefix("trace=")) for line in lines if line[2] in names]


@contextmanager
def logging_to(path: Path) -> Iterator[LogFile]:
    """Log to a file for as long as the block lasts, as the server does by default."""
    with path.open("w", encoding="utf-8") as file, restored_logging():
        configure("logfmt", "info", file)
        yield LogFile(path)
