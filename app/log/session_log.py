"""The session log, the ordered events of a session that viewers read: its port, and an implementation in memory."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from sys import getsizeof
from typing import NamedTuple, Protocol

from app.chat.errors import Fenced
from app.chat.ports import Kind
from app.log.answer_view import AnswerView
from app.log.cursors import Cursor
from app.log.entries import End, Entry, Event, ResetReason, Start
from app.tasks.reports import report

Listener = Callable[[Entry], None]

READ_BYTES = 64 * 1024  # approximate size of one read, so that a replay does not block other tasks
EVENT_BYTES = 256  # approximate size of an event, not counting its texts
RUN_TOKENS = 512  # tokens in one segment, the unit of joining and of retention
LONG_TEXT = 512  # characters; a piece this long ends its segment, so that segments are bounded in bytes too


class Reading(NamedTuple):
    """The result of one read: the entries, and the sequence number up to which the log has been read."""

    entries: list[Entry]
    last: int


class SessionLog(Protocol):
    """An append-only log with a fence. Sequence numbers increase by one per event; each token is one event."""

    epoch: int
    head: int  # the sequence number of the newest event; 0 in an empty log
    answer: AnswerView | None  # the running answer, from its `start` to its `end`

    @property
    def floor(self) -> int:
        """The sequence number of the newest dropped event. Cursors from here on can be served."""
        ...

    @property
    def listeners(self) -> int:
        """The number of listeners."""
        ...

    async def append(self, fence: int, event: Event) -> None:
        """Append one event. A `Start` sets the log's fence to `fence`, an `End` to `fence + 1`.

        Raises `Fenced` if `fence` is lower than the log's: that stream is over.
        """
        ...

    async def append_text(
        self, fence: int, kind: Kind, stream_id: str, position: int, texts: list[str]
    ) -> None:
        """Append one event for each of `texts`, in order. Raises `Fenced` as `append` does."""
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


class _Event:
    """A segment that holds one event."""

    __slots__ = ("event", "first", "last", "size", "stream_id", "time")

    def __init__(self, seq: int, event: Event, time: float) -> None:
        self.first = self.last = seq
        self.event = event
        self.stream_id = event.stream_id
        self.size = _size(event)
        self.time = time

    def entry(self, _after: int) -> Entry:
        return Entry.of(self.last, self.event)


def _size(event: Event) -> int:
    """Return the approximate size of an event in memory, in bytes."""
    if not isinstance(event, Start):
        return EVENT_BYTES
    begun = event.continued
    texts = [event.prompt.text, *((begun.content, begun.reasoning) if begun else ())]
    return EVENT_BYTES * (1 + len(event.prompt.images)) + sum(map(getsizeof, texts))


class _Run:
    """A segment of adjacent tokens of one kind. A finished one is joined: 4 bytes per token in addition to the text."""

    __slots__ = ("_ends", "_texts", "first", "kind", "last", "position", "size", "stream_id", "time")

    def __init__(self, first: int, kind: Kind, stream_id: str, position: int, time: float) -> None:
        self.first = first
        self.last = first - 1
        self.kind: Kind = kind
        self.stream_id = stream_id
        self.position = position
        self.size = 0
        self.time = time
        self._texts: list[str] = []
        self._ends: array[int] | None = None

    def add(self, texts: list[str]) -> None:
        self._texts += texts
        self.last += len(texts)

    def join(self) -> None:
        self._ends = array("I", accumulate(map(len, self._texts)))
        self._texts = ["".join(self._texts)]
        self.size = getsizeof(self._texts[0]) + getsizeof(self._ends)

    def entry(self, after: int) -> Entry:
        skipped = max(0, after + 1 - self.first)
        if self._ends is None:
            text = "".join(self._texts[skipped:])
        else:
            text = self._texts[0][self._ends[skipped - 1] if skipped else 0 :]
        count = self.last + 1 - self.first - skipped
        return Entry(self.last, self.stream_id, self.kind, None, text, self.position + skipped, count)


class MemoryLog:
    """A `SessionLog` in memory, bounded by bytes (the oldest segments are dropped) and by time (`expire`)."""

    def __init__(self, epoch: int, *, max_bytes: int, clock: Callable[[], float]) -> None:
        self.epoch = epoch
        self.head = 0
        self.answer: AnswerView | None = None
        self._fence = 0
        self._max_bytes = max_bytes
        self._clock = clock
        self._segments: list[_Event | _Run] = []
        self._size = 0
        self._run: _Run | None = None
        self._promised = 0
        self._starts: dict[str, int] = {}
        self._listeners: list[Listener] = []

    def __repr__(self) -> str:
        return (
            f"<MemoryLog {self.epoch}-{self.head} fence={self._fence} "
            f"segments={len(self._segments)} listeners={len(self._listeners)}>"
        )

    @property
    def floor(self) -> int:
        """See `SessionLog`."""
        return self._segments[0].first - 1 if self._segments else self.head

    @property
    def listeners(self) -> int:
        """See `SessionLog`."""
        return len(self._listeners)

    async def append(self, fence: int, event: Event) -> None:
        """See `SessionLog`."""
        if fence < self._fence:
            raise Fenced(f"fence {fence} is older than {self._fence}")
        self._close_run()
        self.head += 1
        if isinstance(event, Start):
            self._fence = fence
            self._starts[event.stream_id] = self.head - 1
            self.answer = AnswerView(event, self.head)
        elif self.answer is not None:
            self.answer.take_event(event)
        self._add(_Event(self.head, event, self._clock()))
        if isinstance(event, End):
            self._fence = fence + 1
            self.answer = None
        if self._listeners:
            self._tell(Entry.of(self.head, event))

    async def append_text(
        self, fence: int, kind: Kind, stream_id: str, position: int, texts: list[str]
    ) -> None:
        """See `SessionLog`. Hot path: called for every token of every stream."""
        if fence < self._fence:
            raise Fenced(f"fence {fence} is older than {self._fence}")
        run = self._run
        if (
            run is None
            or run.kind != kind
            or run.stream_id != stream_id
            or run.last - run.first >= RUN_TOKENS
        ):
            run = self._open_run(kind, stream_id, position)
        run.add(texts)
        self.head = last = run.last
        count = len(texts)
        if self.answer is not None:
            self.answer.take_text(kind, texts, run.time, count)
        if self._listeners:
            text = texts[0] if count == 1 else "".join(texts)
            self._tell(Entry(last, stream_id, kind, None, text, position, count))
        if len(texts[-1]) >= LONG_TEXT:
            self._close_run()

    def _tell(self, entry: Entry) -> None:
        # A listener may call `forget` from inside its call, so the list is replaced on change, never mutated.
        for listener in self._listeners:
            try:
                listener(entry)
            except Exception as error:  # noqa: BLE001 - it is reported; a viewer must not fail a stream
                report("a listener of a session log failed", error)

    def _open_run(self, kind: Kind, stream_id: str, position: int) -> _Run:
        self._close_run()
        self._run = run = _Run(self.head + 1, kind, stream_id, position, self._clock())
        self._add(run)
        return run

    def _close_run(self) -> None:
        if self._run is not None:
            self._run.join()
            self._size += self._run.size
            self._run = None

    def _add(self, segment: _Event | _Run) -> None:
        self._segments.append(segment)
        self._size += segment.size
        dropped = 0
        while self._size > self._max_bytes and dropped < len(self._segments) - 1:
            self._size -= self._segments[dropped].size
            dropped += 1
        self._drop(dropped)

    def _drop(self, count: int) -> None:
        for segment in self._segments[:count]:
            if isinstance(segment, _Event) and isinstance(segment.event, Start):
                del self._starts[segment.stream_id]
        del self._segments[:count]

    def expire(self, older_than: float) -> None:
        """See `SessionLog`."""
        count = 0
        while count < len(self._segments) and self._segments[count].time < older_than:
            if self._segments[count] is self._run:
                break
            self._size -= self._segments[count].size
            count += 1
        self._drop(count)

    def promise(self, ahead: int) -> int:
        """See `SessionLog`."""
        self._promised = max(self._promised, self.head + ahead)
        return self.head + ahead

    def refusal(self, cursor: Cursor) -> ResetReason | None:
        """See `SessionLog`."""
        if cursor.epoch != self.epoch or cursor.seq > max(self.head, self._promised):
            return "epoch"
        return "expired" if cursor.seq < self.floor else None

    def before(self, stream_id: str) -> int | None:
        """See `SessionLog`."""
        return self._starts.get(stream_id)

    def read(self, after: int, stream_id: str | None = None) -> Reading:
        """See `SessionLog`."""
        entries: list[Entry] = []
        size, last = 0, after
        for segment in self._after(after):
            last = segment.last
            if stream_id is None or segment.stream_id == stream_id:
                entry = segment.entry(after)
                entries.append(entry)
                size += len(entry.text) + EVENT_BYTES
                if size >= READ_BYTES:
                    break
        return Reading(entries, last)

    def _after(self, seq: int) -> Iterator[_Event | _Run]:
        index = bisect_right(self._segments, seq, key=lambda segment: segment.last)
        for position in range(index, len(self._segments)):
            yield self._segments[position]

    def listen(self, listener: Listener) -> None:
        """See `SessionLog`."""
        self._listeners = [*self._listeners, listener]

    def forget(self, listener: Listener) -> None:
        """See `SessionLog`."""
        # Compare by `!=`: each access to a bound method creates a new object that is equal but not identical.
        self._listeners = [other for other in self._listeners if other != listener]
