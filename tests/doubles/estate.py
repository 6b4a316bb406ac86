"""Nodes in one process: real ownership and hearts, leases in one table, and for each session a log per owner."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from app.chat.errors import HistoryUnavailable, LeaseLost
from app.chat.submission import Submission
from app.cluster.membership import Membership
from app.cluster.ownership import Ownership
from app.cluster.ports import Lease, Node, Settled
from app.history.memory import MemoryHistory
from app.log.memory_log import MemoryLog
from app.log.session_log import SessionLog
from app.streams.bounds import Bounds
from app.streams.registry import Registered, Registry
from app.streams.stream import Stream
from tests.doubles.leases import LeaseTable, MemoryLeases
from tests.support.puppet import PuppetBackend
from tests.support.recorder import Recorder

OWNER = "somebody"
AWAY = HistoryUnavailable("away")


class TroubledLeases(MemoryLeases):
    """Leases in a database that can be away. A lost reply comes after the statement was done."""

    def __init__(self, table: LeaseTable) -> None:
        super().__init__(table)
        self.away = False
        self.loses_reply = False
        self.taken = 0  # acquisitions that were asked for
        self.released: list[int] = []  # how many leases each statement released that is for several

    async def renew(self) -> bool:
        self._check()
        return await super().renew()

    async def nodes(self) -> list[Node]:
        self._check()
        return await super().nodes()

    async def acquire(self, session: str, *, over: int | None = None) -> Lease:
        self._check()
        self.taken += 1
        lease = await super().acquire(session, over=over)
        if self.loses_reply:
            self.loses_reply = False
            raise AWAY
        return lease

    async def find(self, session: str) -> Lease | None:
        self._check()
        return await super().find(session)

    async def release(self, lease: Lease, *, unfinished: bool = False) -> None:
        self._check()
        await super().release(lease, unfinished=unfinished)

    async def release_all(self, leases: Sequence[Lease]) -> None:
        self._check()
        self.released.append(len(leases))
        await super().release_all(leases)

    async def lost(self, mine: Any) -> set[str]:
        self._check()
        return await super().lost(mine)

    async def orphans(self, limit: int) -> list[Lease]:
        self._check()
        return await super().orphans(limit)

    def _check(self) -> None:
        if self.away:
            raise AWAY


class ToyEstate:
    """Opens logs in memory. `left` is how many answers the next taken session has that its owner left unfinished."""

    def __init__(self) -> None:
        self.logs: dict[str, MemoryLog] = {}
        self.left = 0
        self.lost: list[tuple[str, int]] = []
        self.gone_on: list[str] = []
        self.failure: HistoryUnavailable | None = None
        self.gate = asyncio.Event()  # takes wait for it
        self.gate.set()
        self.is_up = True
        self.away: set[str] = set()  # sessions whose log is away, if `is_up`
        self.settled = 0  # times
        self.disk = asyncio.Event()  # `settle` waits for it
        self.disk.set()
        self.disk_failure: HistoryUnavailable | None = None
        self.working: set[str] = set()  # sessions that are being stored or deleted

    def is_ready(self, session_id: str) -> bool:
        return self.is_up and session_id not in self.away

    async def ready(self, session_id: str) -> None:
        if not self.is_ready(session_id):
            raise AWAY

    def of(self, session_id: str) -> MemoryLog:
        if session_id not in self.logs:
            raise LeaseLost
        return self.logs[session_id]

    def renew(self, session_id: str, deleted: SessionLog) -> None:
        raise NotImplementedError

    async def take(self, lease: Lease) -> Settled:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        clock = asyncio.get_running_loop().time
        self.logs[lease.session] = MemoryLog(lease.epoch, max_bytes=2**20, clock=clock)
        left, self.left = self.left, 0
        return Settled(left)

    def go_on(self, session_id: str) -> None:
        self.gone_on.append(session_id)

    def works_on(self, session_id: str) -> bool:
        return session_id in self.working

    def lose(self, session_id: str, epoch: int) -> None:
        self.lost.append((session_id, epoch))
        self.logs.pop(session_id, None)

    async def settle(self) -> None:
        """Everything is on disk at once, unless it cannot be."""
        self.settled += 1
        await self.disk.wait()
        if self.disk_failure is not None:
            raise self.disk_failure


class ToyNode:
    """A node that has joined by hand: it is sure of its leases until `forget`."""

    def __init__(self, name: str, table: LeaseTable, *, ttl: float = 300.0) -> None:
        self.leases = TroubledLeases(table)
        self.estate = ToyEstate()
        self.logger = Recorder()
        self.backend = PuppetBackend()
        self.taken: list[str] = []
        self.registry = Registry(
            history=MemoryHistory(),
            bounds=Bounds(viewer_grace=None, supersede_timeout=0.5, shutdown_timeout=0.2, close_timeout=0.1),
            logger=self.logger,
            logs=self.estate,
            own=lambda session_id: self.ownership.own(session_id),
        )
        self.node = Node(name, f"http://{name}")
        self.ownership = Ownership(
            leases=self.leases,
            estate=self.estate,
            registry=self.registry,
            node=self.node,
            logger=self.logger,
            taken=lambda lease: self.taken.append(lease.session),
        )
        self.membership = Membership(
            leases=self.leases,
            ownership=self.ownership,
            ttl=ttl,
            logger=self.logger,
            log_is_up=lambda: self.estate.is_up,
        )
        self.ttl = ttl

    def lose_all(self) -> None:
        """Lose all sessions, as if the node could not renew itself while its log was away."""
        self.estate.is_up = False
        self.ownership.lose_unlogged()
        self.estate.is_up = True

    async def join(self) -> ToyNode:
        """Become a node that nobody renews."""
        await self.leases.join(self.node, self.ttl)
        self.ownership.sure_until = asyncio.get_running_loop().time() + self.ttl
        self.ownership.claiming = True
        return self

    def forget(self) -> None:
        """Its time has run out, by its own clock."""
        self.ownership.sure_until = 0.0

    async def post(self, session_id: str = "s", prompt: str = "hello") -> Registered:
        """Register a stream."""
        return await self.registry.register(
            Submission(
                owner=OWNER,
                session_id=session_id,
                prompt=prompt,
                model=self.backend.model,
                backend=self.backend,
            )
        )

    def stream(self, session_id: str = "s") -> Stream:
        """The running stream of a session."""
        session = self.registry.find(session_id)
        assert session is not None
        assert session.running is not None
        return session.running

    def names(self, session_id: str = "s") -> list[str]:
        """The events in the log of a session that this node owns."""
        return [entry.name for entry in self.estate.logs[session_id].read(0).entries]
