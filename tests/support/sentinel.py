"""A real sentinel for tests, and a primary with a replica that it watches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.valkey import START_SECONDS, Valkey, program, running_valkey
from tests.support.waiting import found

NAME = "mymaster"
DOWN_MS = 1000  # without an answer of the primary, until it is taken for dead
FAILOVER_MS = 1000  # half of the time until a promotion that found no replica is tried again


class Sentinel(Valkey):
    """Watches one primary, alone: its own opinion is enough to promote a replica. Use `running_sentinel`."""

    def __init__(self, program: str, folder: Path, primary: Valkey, *lines: str) -> None:
        super().__init__(program, folder)
        self._file = folder / "sentinel.conf"  # it writes what it learns into its configuration
        self._file.write_text(
            "\n".join(
                [
                    f"port {self.port}",
                    "bind 127.0.0.1",
                    f"dir {folder}",
                    f"logfile {folder / 'sentinel.log'}",
                    f"sentinel monitor {NAME} 127.0.0.1 {primary.port} 1",
                    f"sentinel down-after-milliseconds {NAME} {DOWN_MS}",
                    f"sentinel failover-timeout {NAME} {FAILOVER_MS}",
                    *lines,
                    "",
                ]
            )
        )

    @property
    def url(self) -> str:
        """The address of the primary, by way of this sentinel."""
        return f"redis+sentinel://127.0.0.1:{self.port}/{NAME}/0"

    def _arguments(self) -> Sequence[str]:
        return [str(self._file), "--sentinel"]

    def knows_a_replica(self) -> bool:
        """Whether it would have somebody to promote."""
        return not self.command("SENTINEL", "REPLICAS", NAME).startswith(b"*0")

    def names(self, server: Valkey) -> bool:
        """Whether this server is the primary for it, without any doubt about that."""
        said = self.command("SENTINEL", "MASTER", NAME)
        return b"\r\n%d\r\n" % server.port in said and b"flags\r\n$6\r\nmaster\r\n" in said


class Watched(NamedTuple):
    """A primary, its replica, and the sentinel that watches both."""

    primary: Valkey
    replica: Valkey
    sentinel: Sentinel


@contextmanager
def running_sentinel(primary: Valkey, *lines: str) -> Iterator[Sentinel]:
    """Run a sentinel; `lines` are further lines of its configuration."""
    with tempfile.TemporaryDirectory(prefix="tailrace-sentinel-") as folder:
        server = Sentinel(program(), Path(folder), primary, *lines)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def running_watched() -> Iterator[Watched]:
    """Run all three; yield them once the replica has all, and the sentinel would promote it."""
    with ExitStack() as stack:
        primary = stack.enter_context(running_valkey())
        replica = stack.enter_context(running_valkey("--replicaof", "127.0.0.1", str(primary.port)))
        found(lambda: replica.role() == "slave/up" or None, within=START_SECONDS, what="no replica")
        sentinel = stack.enter_context(running_sentinel(primary))
        found(
            lambda: sentinel.knows_a_replica() or None,
            within=START_SECONDS,
            what="the sentinel has no replica",
        )
        yield Watched(primary, replica, sentinel)
