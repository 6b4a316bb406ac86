"""The port of a session log: the ordered entries of a session, the only thing that viewers read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from app.chat.ports import Kind
from app.log.answer_view import AnswerView
from app.log.cursors import Cursor
from app.log.entries import Entry, Event, ResetReason

Listener = Callable[[Entry], None]

READ_BYTES = 64 * 1024  # approximate size of one read, so that a replay does not block other tasks


class Reading(NamedTuple):
    """The result of one read: the entries, and the sequence number up to which the log has been read."""

    entries: list[Entry]
    last: int


class SessionLog(Protocol):
    """An append-only log with a fence. Sequence numbers increase by one per event; each token is one event."""

    @property
    def epoch(self) -> int:
        """What cursors of this log begin with."""
        ...

    @property
    def head(self) -> int:
        """The sequence number of the newest event that viewers can read; 0 in an empty log."""
        ...

    @property
    def answer(self) -> AnswerView | None:
        """The running answer as viewers can read it, from its `start` to its `end`."""
        ...

    @property
    def written(self) -> AnswerView | None:
        """The running answer with all that was appended, for the stream that writes it.

        A log that others keep shows an event only once they have acknowledged it.
        """
        ...

    @property
    def fence(self) -> int:
        """The lowest fence that may append. The next stream's must be greater."""
        ...

    @property
    def floor(self) -> int:
        """The sequence number of the newest dropped event. Cursors from here on can be served."""
        ...

    @property
    def listeners(self) -> int:
        """The number of listeners."""
        ...

    @property
    def size(self) -> int:
        """The approximate size in memory, in bytes; without the segment that is growing."""
        ...

    async def append(self, fence: int, event: Event) -> None:
        """Append one event. A `Start` sets the log's fence to `fence`, an `End` to `fence + 1`.

        Returns after an `End` once viewers can read it. The wait is bounded; a log that fails shows it all the same.
        Raises `Fenced` if `fence` is lower than the log's: that stream is over.
        """
        ...

    def append_text(self, fence: int, kind: Kind, stream_id: str, position: int, texts: list[str]) -> None:
        """Append one event for each of `texts`, in order. Synchronous. Raises `Fenced` as `append` does."""
        ...

    def read(self, after: int, stream_id: str | None = None) -> Reading:
        """Return up to about `READ_BYTES` of entries after `after`, pieces of text merged; only `stream_id`'s if given.

        Synchronous. The caller has checked the cursor with `refusal`.
        """
        ...

    def refusal(self, cursor: Cursor) -> ResetReason | None:
        """Return why the events after `cursor` cannot be served, or `None` if they can."""
        ...

    def before(self, stream_id: str) -> int | None:
        """Return the sequence number just before the `start` of a stream, or `None` if the log does not hold it."""
        ...

    def listen(self, listener: Listener) -> None:
        """Call `listener` synchronously with the entry of each append from now on. It must not block.

        Its exceptions go to the loop's exception handler, never to the appender.
        """
        ...

    def forget(self, listener: Listener) -> None:
        """Stop calling `listener`. Idempotent."""
        ...

    def promise(self, ahead: int) -> int:
        """Return the sequence number `ahead` events after the head. From now on it is accepted as a cursor."""
        ...

    def expire(self, older_than: float) -> None:
        """Drop the events appended before `older_than`, in seconds on the log's clock. A growing segment is kept."""
        ...
