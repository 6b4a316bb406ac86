"""What a log in memory is made of: segments of one event, or of neighbouring pieces of text."""

from __future__ import annotations

from array import array
from itertools import accumulate
from sys import getsizeof

from app.chat.ports import Kind
from app.log.entries import Entry, Event, Start

EVENT_BYTES = 256  # approximate size of an event, not counting its texts
TEXT_PIECES = 512  # pieces in one segment, the unit of joining and of retention


class EventSegment:
    """A segment that holds one event."""

    __slots__ = ("event", "first", "last", "size", "stream_id", "time")

    def __init__(self, seq: int, event: Event, time: float) -> None:
        self.first = self.last = seq
        self.event = event
        self.stream_id = event.stream_id
        self.size = _size(event)
        self.time = time

    def entry(self, _after: int) -> Entry:
        """Return the entry of the event."""
        return Entry.of(self.last, self.event)


def _size(event: Event) -> int:
    """Return the approximate size of an event in memory, in bytes."""
    if not isinstance(event, Start):
        return EVENT_BYTES
    begun = event.continued
    texts = [event.prompt.text, *((begun.content, begun.reasoning) if begun else ())]
    return EVENT_BYTES * (1 + len(event.prompt.images)) + sum(map(getsizeof, texts))


class TextSegment:
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
        """Append pieces of text, one token each."""
        self._texts += texts
        self.last += len(texts)

    def join(self) -> None:
        """Join the pieces into one string. Nothing is added afterwards."""
        self._ends = array("I", accumulate(map(len, self._texts)))
        self._texts = ["".join(self._texts)]
        self.size = getsizeof(self._texts[0]) + getsizeof(self._ends)

    def entry(self, after: int) -> Entry:
        """Return the tokens after the sequence number `after`, merged into one entry."""
        skipped = max(0, after + 1 - self.first)
        if self._ends is None:
            text = "".join(self._texts[skipped:])
        else:
            text = self._texts[0][self._ends[skipped - 1] if skipped else 0 :]
        count = self.last + 1 - self.first - skipped
        return Entry(self.last, self.stream_id, self.kind, None, text, self.position + skipped, count)
