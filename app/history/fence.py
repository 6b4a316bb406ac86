"""The write fence of a cluster: which sessions this node may write, and under which epochs.

A change carries the epoch under which it was made. The transaction that writes it checks that this node still has the
lease of that epoch, and locks the lease until it commits, so that a new owner sees everything that was written before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.cluster.ports import Lease

Key = tuple[
    str, int | None
]  # a session, and the epoch under which it is written; `None`: it was not this node's


class Fence:
    """The leases of this node as last heard. `PostgresLeases` keeps it up to date; the writer checks it on disk.

    `on_lost` is called, synchronously, with each session and epoch that turns out to belong to another node.
    """

    def __init__(self) -> None:
        self.node_id = ""  # until the node joins
        self.on_lost: Callable[[str, int], None] = lambda _session_id, _epoch: None
        self._epochs: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Fence {self.node_id} held={len(self._epochs)}>"

    def hold(self, lease: Lease) -> None:
        """From now on, changes of the session carry this lease's epoch."""
        self._epochs[lease.session] = lease.epoch

    def drop(self, session_id: str, epoch: int) -> None:
        """Forget a lease, unless there is a newer one."""
        if self._epochs.get(session_id) == epoch:
            del self._epochs[session_id]

    def epoch(self, session_id: str) -> int | None:
        """Return the epoch under which this node writes the session now; `None` if it does not own it."""
        return self._epochs.get(session_id)

    def lost(self, keys: Iterable[Key]) -> None:
        """Forget these leases, and tell the owner of the fence."""
        for session_id, epoch in keys:
            if epoch is not None:
                self.drop(session_id, epoch)
                self.on_lost(session_id, epoch)
