"""Tells which changes of a batch another node has fenced off, in the transaction that writes the others."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from app.history.fence import Fence, Key
from app.history.statements.fence import locked_leases, sessions_of
from app.history.write_queue.changes import Discard, Expire, Prune, Withdraw
from app.history.write_queue.pending import Cut
from app.history.write_queue.queue import QueuedChange


class Fenced:
    """The result of a check: the entries and pieces of a batch that must not be written."""

    def __init__(self, keys: set[Key], entries: set[int], cut: set[int]) -> None:
        self.keys = keys
        self.entries = entries  # positions in the batch
        self.cut = cut

    @classmethod
    def of(
        cls, connection: Connection, fence: Fence, entries: Sequence[QueuedChange], cut: Sequence[Cut]
    ) -> Fenced:
        """Check a batch and lock the leases that it relies on."""
        of_entries = _keys(connection, fence, entries)
        of_cut = [growth.key for growth, _ in cut]
        every = {key for key in (*of_entries, *of_cut) if key is not None}
        if not every:
            return cls(set(), set(), set())
        leases = locked_leases(connection, {session_id for session_id, _ in every})
        lost = {
            (session_id, epoch)
            for session_id, epoch in every
            if leases.get(session_id) != (fence.node_id, epoch)
        }
        # What is hidden or deleted in a session that nobody owns was left so, and any node may remove it: its lease was
        # given up, or it never had one because its server was no node of a cluster.
        unowned = {session_id for session_id, _ in lost if leases.get(session_id, (None, 0))[0] is None}
        return cls(
            lost,
            {
                place
                for place, key in enumerate(of_entries)
                if key in lost
                and not (isinstance(entries[place].change, (Prune, Expire)) and key[0] in unowned)
            },
            {place for place, key in enumerate(of_cut) if key in lost},
        )


def _keys(connection: Connection, fence: Fence, entries: Sequence[QueuedChange]) -> list[Key | None]:
    """Return the key of each change. Those that name only a stream whose answer is on disk are looked up."""
    unknown = {
        entry.change.stream_id
        for entry in entries
        if entry.key is None and isinstance(entry.change, (Discard, Withdraw))
    }
    known = sessions_of(connection, unknown) if unknown else {}
    keys: list[Key | None] = []
    for entry in entries:
        key = entry.key
        if key is None and isinstance(entry.change, (Discard, Withdraw)):
            session_id = known.get(entry.change.stream_id)
            key = None if session_id is None else (session_id, fence.epoch(session_id))
        keys.append(key)
    return keys
