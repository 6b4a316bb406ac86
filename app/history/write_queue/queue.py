"""The line in which changes wait for the disk, in the order in which they were made."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from app.chat.archive import size
from app.chat.errors import HistoryUnavailable
from app.chat.sizes import utf8_size
from app.history.write_queue.changes import Admit, Change, Finish, Restore
from app.history.write_queue.pending import PendingAnswer

BATCH = 256  # changes that are taken at once
BACKLOG_BYTES = 64 * 1024 * 1024  # of text that may wait for a database which does not answer
CHANGE_BYTES = 256  # of a change beside its text, about


class InDoubt(HistoryUnavailable):
    """It is not known whether the change was kept: the database fell silent at the very moment."""


class QueuedChange:
    """A change in line, who waits for it, and the answer that it belongs to, where that is of interest."""

    __slots__ = ("answer", "change", "size", "waiter")

    def __init__(
        self, change: Change, waiter: asyncio.Future[None] | None, answer: PendingAnswer | None
    ) -> None:
        self.change = change
        self.waiter = waiter
        self.answer = answer
        self.size = CHANGE_BYTES + _text(change)

    def succeed(self) -> None:
        """It is on disk."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """It is not going to be."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(error)


def _text(change: Change) -> int:
    """Return how many bytes of text and images a change carries."""
    match change:
        case Finish():
            return utf8_size(change.content) + utf8_size(change.reasoning)
        case Admit():
            exchange = change.exchange
            return utf8_size(exchange.prompt.content) + sum(
                len(picture.data) for picture in exchange.pictures
            )
        case Restore():
            return size(change.archive)
        case _:
            return 0


class WriteQueue:
    """First in, first out. Nothing here awaits."""

    def __init__(self) -> None:
        self._entries: deque[QueuedChange] = deque()
        self._size = 0
        self.awaited = 0  # entries that somebody waits for

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Line entries={len(self)} bytes={self._size} awaited={self.awaited}>"

    def append(self, entry: QueuedChange) -> None:
        """Put an entry at the end. Raises `HistoryUnavailable` if too much waits already."""
        if self._size > BACKLOG_BYTES:
            raise HistoryUnavailable("Chat history can't keep up right now. Try again later.")
        self._entries.append(entry)
        self._count(entry, 1)

    def take(self) -> list[QueuedChange]:
        """Take the first entries out of the line."""
        taken = [self._entries.popleft() for _ in range(min(BATCH, len(self._entries)))]
        for entry in taken:
            self._count(entry, -1)
        return taken

    def put_back(self, entries: Sequence[QueuedChange]) -> None:
        """Put entries where they were taken from."""
        self._entries.extendleft(reversed(entries))
        for entry in entries:
            self._count(entry, 1)

    def remove(self, entry: QueuedChange) -> bool:
        """Take one entry out; tell whether it was in line still."""
        if entry not in self._entries:
            return False
        self._entries.remove(entry)
        self._count(entry, -1)
        return True

    def _count(self, entry: QueuedChange, sign: int) -> None:
        self._size += sign * entry.size
        if entry.waiter is not None:
            self.awaited += sign
