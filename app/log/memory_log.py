"""A session log in memory, bounded by bytes and by time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator

from app.chat.errors import Fenced
from app.chat.growing_text import GrowingText
from app.chat.ports import Kind
from app.log.answer_view import AnswerView
from app.log.cursors import Cursor
from app.log.entries import End, Entry, Event, ResetReason, Start
from app.log.segments import EVENT_BYTES, TEXT_PIECES, EventSegment, TextSegment
from app.log.session_log import READ_BYTES, Listener, Reading
from app.tasks.reports import report

LONG_TEXT = 512  # characters; a piece this long ends its segment, so that segments are bounded in bytes too


class MemoryLog:
    """A `SessionLog` in memory, bounded by bytes (the oldest segments are dropped) and by time (`expire`)."""

    def __init__(self, epoch: int, *, max_bytes: int, clock: Callable[[], float]) -> None:
        self.epoch = epoch
        self.head = 0
        self.answer: AnswerView | None = None
        self._fence = 0
        self._max_bytes = max_bytes
        self._clock = clock
        self._segments: list[EventSegment | TextSegment] = []
        self._size = 0
        self._run: TextSegment | None = None
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
    def fence(self) -> int:
        """See `SessionLog`."""
        return self._fence

    @property
    def listeners(self) -> int:
        """See `SessionLog`."""
        return len(self._listeners)

    @property
    def size(self) -> int:
        """See `SessionLog`."""
        return self._size

    @property
    def written(self) -> AnswerView | None:
        """See `SessionLog`. What is appended is shown at once."""
        return self.answer

    async def append(self, fence: int, event: Event) -> None:
        """See `SessionLog`."""
        if fence < self._fence:
            raise Fenced(f"fence {fence} is older than {self._fence}")
        if isinstance(event, Start):
            self._fence = fence
        elif isinstance(event, End):
            self._fence = fence + 1
        self.put(event)

    def put(self, event: Event) -> None:
        """Append one event, whatever the fence."""
        self._close_run()
        self.head += 1
        if isinstance(event, Start):
            self._starts[event.stream_id] = self.head - 1
            self.answer = AnswerView(event, self.head)
        elif self.answer is not None:
            self.answer.take_event(event)
        self._add(EventSegment(self.head, event, self._clock()))
        if isinstance(event, End) and self.answer is not None:
            self.answer.text.join()
            self.answer.reasoning.join()
            self.answer = None
        if self._listeners:
            self._tell(Entry.of(self.head, event))

    def append_text(self, fence: int, kind: Kind, stream_id: str, position: int, texts: list[str]) -> None:
        """See `SessionLog`. Hot path: called for every token of every stream."""
        if fence < self._fence:
            raise Fenced(f"fence {fence} is older than {self._fence}")
        run = self._run
        if (
            run is None
            or run.kind != kind
            or run.stream_id != stream_id
            or run.last - run.first >= TEXT_PIECES
        ):
            run = self._open_run(kind, stream_id, position)
        count = len(texts)
        self.head = run.last = last = run.last + count
        if self.answer is not None:
            self.answer.take_text(
                kind, texts, run.time, count
            )  # adds to the run's text, which is the answer's
        else:
            run.text.add(texts)
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

    def _open_run(self, kind: Kind, stream_id: str, position: int) -> TextSegment:
        self._close_run()
        answer = self.answer
        text = GrowingText() if answer is None else answer.text if kind == "token" else answer.reasoning
        self._run = run = TextSegment(self.head + 1, kind, stream_id, position, self._clock(), text)
        self._add(run)
        return run

    def _close_run(self) -> None:
        if self._run is not None:
            self._run.close()
            self._size += self._run.size
            self._run = None

    def _add(self, segment: EventSegment | TextSegment) -> None:
        self._segments.append(segment)
        self._size += segment.size
        dropped = 0
        while self._size > self._max_bytes and dropped < len(self._segments) - 1:
            self._size -= self._segments[dropped].size
            dropped += 1
        self._drop(dropped)

    def _drop(self, count: int) -> None:
        for segment in self._segments[:count]:
            if isinstance(segment, EventSegment) and isinstance(segment.event, Start):
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

    def _after(self, seq: int) -> Iterator[EventSegment | TextSegment]:
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
