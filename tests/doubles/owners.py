"""`Owners` and `Hints` in memory: the nodes of a test share one table, and see its changes at once."""

from __future__ import annotations

from collections.abc import Callable, Collection

from app.chat.errors import HistoryUnavailable, LeaseLost
from app.cluster.ports import UNOWNED, Lease, Node


class OwnerTable:
    """Which node owns which session. `hints` are what was sent, and who hears it."""

    def __init__(self) -> None:
        self.leases: dict[str, Lease] = {}
        self.hints: list[tuple[str, ...]] = []
        self.forgotten: list[str] = []  # sessions in which nothing is to be continued
        self.ears: list[tuple[TableHints, str, Callable[..., None]]] = []

    def give(self, session_id: str, node: Node, *, alive: bool = True) -> Lease:
        """Make `node` the owner, under the next epoch."""
        earlier = self.leases.get(session_id)
        lease = Lease(session_id, node, earlier.epoch + 1 if earlier is not None else 1, alive)
        self.leases[session_id] = lease
        return lease


class TableOwners:
    """`Owners` of one node."""

    def __init__(self, table: OwnerTable, node: Node) -> None:
        self.node = node
        self.claiming = True
        self.is_sure = True
        self.asked: list[str] = []  # sessions whose owner was looked up, with or without taking them
        self.unavailable = False
        self.elsewhere: Node | None = None  # where a free session goes that this node does not take
        self._table = table

    def __len__(self) -> int:
        """See `Owners`."""
        return sum(lease.node.id == self.node.id for lease in self._table.leases.values())

    def holds(self, session_id: str, epoch: int | None = None) -> bool:
        """See `Owners`."""
        lease = self._table.leases.get(session_id)
        return lease is not None and lease.node.id == self.node.id and epoch in (None, lease.epoch)

    async def find(self, session_id: str) -> Lease | None:
        """See `Owners`."""
        self.asked.append(session_id)
        return self._table.leases.get(session_id)

    async def owner(self, session_id: str, *, over: int | None = None, avoid: Collection[str] = ()) -> Lease:
        """See `Owners`."""
        self.asked.append(session_id)
        if self.unavailable:
            raise HistoryUnavailable("no database")
        lease = self._table.leases.get(session_id)
        if lease is not None and lease.alive and lease.epoch != over:
            return lease
        if not self.claiming:
            if self.elsewhere is None:
                raise LeaseLost
            return Lease(session_id, self.elsewhere, UNOWNED, True)
        return self._table.give(session_id, self.node)

    async def log_ready(self, session_id: str) -> None:
        """All logs are in memory."""

    async def give(self, session_id: str, *, wait: float = 0.0) -> None:
        """See `Owners`."""
        self._table.leases.pop(session_id, None)


class TableHints:
    """`Hints` of one node."""

    def __init__(self, table: OwnerTable) -> None:
        self._table = table

    def send(self, kind: str, *words: str) -> None:
        """See `Hints`."""
        self._table.hints.append((kind, *words))
        for hints, heard_kind, heard in self._table.ears:
            if hints is not self and heard_kind == kind:
                heard(*words)

    def listen(self, kind: str, heard: Callable[..., None]) -> None:
        """See `Hints`."""
        self._table.ears.append((self, kind, heard))
