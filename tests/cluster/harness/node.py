"""One node of a cluster under test: a real server in a process, on the same port through all of its lives."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import psutil

from tests.doubles.tcp_proxy import TcpProxy
from tests.support import forked
from tests.support.client import Client
from tests.support.forked import Forked
from tests.support.ports import free_port
from tests.support.processes import ROOT, environment
from tests.support.waiting import until_told

READY_SECONDS = 180.0  # the machine may be busy
END_SECONDS = 45.0
LOOK_SECONDS = (
    0.05  # between two looks for the connections of a process, which take the kernel some milliseconds
)


class NodeProcess:
    """A node, and the ways to its engines and peers. `url` is where clients reach it, whatever is cut."""

    def __init__(self, number: int, folder: Path, port: int | None = None) -> None:
        self.number = number
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"node-{number}.log"  # of all its lives
        self.lives = 0
        self.to_postgres: TcpProxy
        self.to_redis: TcpProxy
        self.from_peers: TcpProxy  # the others' way to this node
        self._folder = folder / f"node-{number}"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._settings: dict[str, str] = {}
        self._look: asyncio.Task[set[int]] | None = None
        self._process: Forked | None = None

    def __repr__(self) -> str:
        return f"<NodeProcess {self.number} {self.url} lives={self.lives}>"

    def configure(self, settings: Mapping[str, str]) -> None:
        """Set its settings, in capitals and unprefixed, from the next start on."""
        own = {"HOST": "127.0.0.1", "PORT": str(self.port), "DATA_DIR": str(self._folder)}
        self._settings = {**settings, **own}

    @property
    def pid(self) -> int:
        """Its process, while it has one."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process exists, paused or not."""
        return self._process is not None and self._process.poll() is None

    def text(self) -> str:
        """Return what it has logged so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def said(self) -> int:
        """How much it has logged so far, in bytes."""
        return self.log.stat().st_size

    def lines(self, since: int) -> list[str]:
        """Return what it has logged since it had `said` so much."""
        return self.log.read_bytes()[since:].decode(errors="replace").splitlines()

    # ---- life ------------------------------------------------------------------------------------------------

    async def start(self, *, ready: bool = True) -> None:
        """Start it; return once it is ready. Raises `TimeoutError`, `AssertionError` if it ended."""
        await self.close()
        with self.log.open("ab") as log:
            self._process = await asyncio.to_thread(
                forked.start, ["serve"], cwd=ROOT, env=environment(self._settings), output=log
            )
        self.lives += 1
        if ready:
            await self.ready()

    async def ready(self, *, within: float = READY_SECONDS) -> None:
        """Return once `/readyz` says so. Raises `TimeoutError`, `AssertionError` if it ended."""

        async def is_ready() -> bool:
            assert self.is_running, f"node {self.number} ended: {self.text()[-2000:]}"
            return await self.readiness() == 200

        await until_told(is_ready, within=within)

    async def readiness(self) -> int:
        """Return the status of `/readyz`; 0 without an answer."""
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.get(f"{self.url}/readyz") as answer,
            ):
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    def client(self, headers: dict[str, str] | None = None) -> Client:
        """Return a client of this node. Use it as a context manager."""
        return Client(self.url, headers)

    # ---- faults ----------------------------------------------------------------------------------------------

    async def kill(self) -> None:
        """`kill -9`, as a crash of the machine would be."""
        self.signal(signal.SIGKILL)
        await self.ended()

    def pause(self) -> None:
        """SIGSTOP: its connections stay, and nobody serves them."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def leave(self) -> None:
        """SIGTERM, as a rolling restart begins."""
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self, *, within: float | None = END_SECONDS) -> int:
        """Wait for its end; return the exit code. Raises `TimeoutError`."""

        async def has_ended() -> bool:
            return not self.is_running

        await until_told(has_ended, within=within)
        assert self._process is not None
        return self._process.wait()

    async def has_port(self, port: int) -> bool:
        """Whether one of its connections is from this port of the machine.

        Who asks at about the same time shares a look.
        """
        if self._look is None:
            self._look = asyncio.create_task(self._ports())
        return port in await asyncio.shield(self._look)

    async def _ports(self) -> set[int]:
        await asyncio.sleep(LOOK_SECONDS)
        self._look = None  # who asks from now on may have a connection that is not seen any more
        try:
            connections = await asyncio.to_thread(psutil.Process(self.pid).net_connections, "tcp")
        except psutil.Error:  # it has ended
            return set()
        return {connection.laddr.port for connection in connections}

    def cut_off(self, *, redis: bool = True, postgres: bool = True, peers: bool = False) -> None:
        """Break its connections to the engines, or those of the others to it, and let no others through."""
        for wanted, proxy in ((redis, self.to_redis), (postgres, self.to_postgres), (peers, self.from_peers)):
            if wanted:
                proxy.cut()

    def mend(self) -> None:
        """Undo `cut_off`."""
        for proxy in (self.to_redis, self.to_postgres, self.from_peers):
            proxy.mend()

    async def close(self) -> None:
        """Kill what is left of it."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
