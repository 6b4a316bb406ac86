"""`Leases` in memory: the nodes of a test share a `LeaseTable`, and its clock is the test's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from app.cluster.ports import Lease, Node


class Row(NamedTuple):
    """A lease as stored. `node_id` is `None` once it was released."""

    node_id: str | None
    epoch: int


class LeaseTable:
    """What PostgreSQL would hold. No method awaits, so each is a transaction."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.nodes: dict[str, tuple[Node, float]] = {}
        self.leases: dict[str, Row] = {}
        self.tidied = 0  # times
        self.idle: set[str] = set()  # sessions in which nothing is left to do

    def is_alive(self, node_id: str) -> bool:
        """Whether a node has renewed itself in time."""
        return node_id in self.nodes and self.nodes[node_id][1] > self.now()

    def lease(self, session: str) -> Lease | None:
        """The session's lease; `None` if nobody owns it."""
        row = self.leases.get(session)
        if row is None or row.node_id is None:
            return None
        node = self.nodes[row.node_id][0] if row.node_id in self.nodes else Node(row.node_id, "")
        return Lease(session, node, row.epoch, self.is_alive(row.node_id))


class MemoryLeases:
    """`Leases` of one node on a table that it shares with others."""

    def __init__(self, table: LeaseTable) -> None:
        self._table = table
        self._node = Node("", "")
        self._ttl = 0.0

    def __repr__(self) -> str:
        return f"<MemoryLeases {self._node.id}>"

    async def join(self, node: Node, ttl: float) -> None:
        self._node, self._ttl = node, ttl
        await self.renew()

    async def renew(self) -> bool:
        was_alive = self._table.is_alive(self._node.id)
        self._table.nodes[self._node.id] = self._node, self._table.now() + self._ttl
        return was_alive

    async def leave(self) -> None:
        self._table.nodes[self._node.id] = self._node, self._table.now()

    async def tidy(self) -> None:
        self._table.tidied += 1

    async def nodes(self) -> list[Node]:
        return [
            self._table.nodes[name][0] for name in sorted(self._table.nodes) if self._table.is_alive(name)
        ]

    async def find(self, session: str) -> Lease | None:
        return self._table.lease(session)

    async def acquire(self, session: str, *, over: int | None = None) -> Lease:
        lease = self._table.lease(session)
        if lease is not None and (lease.node.id == self._node.id or (lease.alive and lease.epoch != over)):
            return lease
        epoch = self._table.leases[session].epoch if session in self._table.leases else 0
        self._table.leases[session] = Row(self._node.id, epoch + 1)
        taken = self._table.lease(session)
        assert taken is not None
        return taken

    async def release(self, lease: Lease, *, unfinished: bool = False) -> None:
        if self._table.leases.get(lease.session) == Row(self._node.id, lease.epoch):
            self._table.leases[lease.session] = Row("" if unfinished else None, lease.epoch)

    async def release_all(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            if self._table.leases.get(lease.session) == Row(self._node.id, lease.epoch):
                self._table.leases[lease.session] = Row(None, lease.epoch)

    async def mine(self) -> list[Lease]:
        found = [self._table.lease(session) for session in self._table.leases]
        return [lease for lease in found if lease is not None and lease.node.id == self._node.id]

    async def lost(self, mine: Mapping[str, int]) -> set[str]:
        own = self._node.id
        return {name for name, epoch in mine.items() if self._table.leases.get(name) != Row(own, epoch)}

    async def orphans(self, limit: int) -> list[Lease]:
        found = [self._table.lease(session) for session in self._table.leases]
        dead = [lease for lease in found if lease is not None and not lease.alive]
        left = [lease for lease in dead if lease.node.id == "" or lease.session not in self._table.idle]
        for lease in dead:
            if lease not in left:
                self._table.leases[lease.session] = Row(None, lease.epoch)
        return left[:limit]
