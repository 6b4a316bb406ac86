"""The responses of other nodes that are being read here: each ends when its session moves, or its node is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import aiohttp

from app.cluster.ports import Lease, Node

LOOK_SECONDS = 1.0  # between two looks at all of them


class Source:
    """A response of an owner node. `silence` is how long it may send nothing, in seconds."""

    def __init__(
        self, upstream: aiohttp.ClientResponse, lease: Lease, silence: float, *, is_short: bool = False
    ) -> None:
        self.upstream = upstream
        self.lease = lease
        self.is_short = is_short
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._is_waiting = False  # for more of it; else the client is what takes time
        self.has_lived = False  # its node was seen among the living ones

    def __repr__(self) -> str:
        return f"<Source session={self.lease.session} node={self.lease.node.id}>"

    async def readany(self) -> bytes:
        """Return what has arrived; empty at the end. Raises errors of `peers.BROKEN`, also after `close`."""
        self._is_waiting, self._heard = True, self._loop.time()
        try:
            return await self.upstream.content.readany()
        finally:
            self._is_waiting = False

    def close(self) -> None:
        """Read no more. The other node notices at once. Synchronous, idempotent."""
        self.upstream.close()

    def look(self, alive: set[str]) -> None:
        """Close it if its node is silent for too long, or has expired; `alive` are the ids of the living nodes."""
        lives = self.lease.node.id in alive
        is_silent = self._is_waiting and self._loop.time() - self._heard > self._silence
        # A node that has just joined may not be known here yet.
        if is_silent or (self.has_lived and not lives):
            self.close()
        self.has_lived = self.has_lived or lives


class Sources:
    """The sources that are open. `peers` returns the other nodes that live."""

    def __init__(self, peers: Callable[[], Sequence[Node]]) -> None:
        self._peers = peers
        self._open: dict[str, set[Source]] = {}  # by scoped session id
        self.is_closed = False  # this node ends
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Sources {len(self)}>"

    def __iter__(self) -> Iterator[Source]:
        return (source for there in tuple(self._open.values()) for source in tuple(there))

    def __len__(self) -> int:
        """The number of responses that are being read."""
        return sum(map(len, self._open.values()))

    @contextmanager
    def reading(
        self, upstream: aiohttp.ClientResponse, lease: Lease, silence: float, *, is_short: bool = False
    ) -> Iterator[Source]:
        """Read a response for the duration of the block, and close it then.

        One that `is_short` is read to its end while this node ends, too.
        """
        source = Source(upstream, lease, silence, is_short=is_short)
        there = self._open.setdefault(lease.session, set())
        there.add(source)
        if self.is_closed and not is_short:
            source.close()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        try:
            yield source
        finally:
            source.close()
            there.discard(source)
            if not there and self._open.get(lease.session) is there:
                del self._open[lease.session]

    def moved(self, session_id: str, epoch: int) -> None:
        """Close what is read from earlier owners of a session: it has a new one under `epoch`."""
        for source in tuple(self._open.get(session_id, ())):
            if source.lease.epoch < epoch:
                source.close()

    def close(self) -> None:
        """Close all that grow, and those that are yet to come."""
        self.is_closed = True
        for source in self:
            if not source.is_short:
                source.close()

    def _look(self) -> None:
        self._timer = None
        alive = {peer.id for peer in self._peers()}
        for source in self:
            source.look(alive)
        if self._open:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
