"""The queue of changes for the disk, in the order in which they were made."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from app.chat.archive import records_size
from app.chat.errors import HistoryUnavailable
from app.chat.records import Admission
from app.chat.sizes import utf8_size
from app.history.fence import Key
from app.history.write_queue.changes import Admit, Change, Fill, Finish
from app.history.write_queue.pending import PendingAnswer

BATCH = 256  # changes per transaction
BACKLOG_BYTES = 64 * 1024 * 1024  # text and images that may be queued while the database does not respond
CHANGE_BYTES = 256  # approximate size of a change without its text


class InDoubt(HistoryUnavailable):
    """It is unknown whether the change was committed: the database stopped responding during the commit."""


class QueuedChange:
    """A queued change, with its waiter and its pending answer, if any. `key` is its lease, in a cluster."""

    __slots__ = ("answer", "change", "key", "size", "waiter")

    def __init__(
        self,
        change: Change,
        waiter: asyncio.Future[Admission | None] | None,
        answer: PendingAnswer | None,
        key: Key | None = None,
    ) -> None:
        self.key = key
        self.change = change
        self.waiter = waiter
        self.answer = answer
        self.size = CHANGE_BYTES + _text(change)

    def succeed(self, admission: Admission | None) -> None:
        """Tell the waiter that the change is on disk."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(admission)

    def fail(self, error: Exception) -> None:
        """Raise an error in the waiter: the change was not written, or this is unknown."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(error)


def _text(change: Change) -> int:
    """Return the size of a change's text and images in bytes."""
    match change:
        case Finish():
            return utf8_size(change.content) + utf8_size(change.reasoning)
        case Admit():
            exchange = change.exchange
            return utf8_size(exchange.prompt.content) + sum(
                len(picture.data) for picture in exchange.pictures
            )
        case Fill():
            return records_size(change.messages, change.streams)
        case _:
            return 0


class WriteQueue:
    """First in, first out. No method awaits."""

    def __init__(self) -> None:
        self._entries: deque[QueuedChange] = deque()
        self._size = 0
        self.awaited = 0  # entries with a waiter

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """The approximate size of the entries, in bytes."""
        return self._size

    def __repr__(self) -> str:
        return f"<WriteQueue entries={len(self)} bytes={self._size} awaited={self.awaited}>"

    def append(self, entry: QueuedChange) -> None:
        """Add an entry at the end. Raises `HistoryUnavailable` if more than `BACKLOG_BYTES` are queued."""
        if self._size > BACKLOG_BYTES:
            raise HistoryUnavailable("Chat history can't keep up right now. Try again later.")
        self._entries.append(entry)
        self._count(entry, 1)

    def take(self) -> list[QueuedChange]:
        """Remove and return the first entries, `BATCH` at most."""
        taken = [self._entries.popleft() for _ in range(min(BATCH, len(self._entries)))]
        for entry in taken:
            self._count(entry, -1)
        return taken

    def put_back(self, entries: Sequence[QueuedChange]) -> None:
        """Return taken entries to the front of the queue."""
        self._entries.extendleft(reversed(entries))
        for entry in entries:
            self._count(entry, 1)

    def remove(self, entry: QueuedChange) -> bool:
        """Remove an entry; return whether it was still queued."""
        if entry not in self._entries:
            return False
        self._entries.remove(entry)
        self._count(entry, -1)
        return True

    def _count(self, entry: QueuedChange, sign: int) -> None:
        self._size += sign * entry.size
        if entry.waiter is not None:
            self.awaited += sign
