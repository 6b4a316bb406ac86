"""What a log in memory is made of: segments of one event, or of neighbouring pieces of text."""

from __future__ import annotations

from sys import getsizeof

from app.chat.growing_text import GrowingText
from app.chat.ports import Kind
from app.log.entries import Entry, Event, Start

EVENT_BYTES = 256  # approximate size of an event, not counting its texts
TEXT_PIECES = 512  # pieces in one segment, the unit of retention
END_BYTES = 4  # that a `GrowingText` needs for each piece beside its characters


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
    """Adjacent tokens of one kind. The text itself is the answer's; the segment says which part of it."""

    __slots__ = ("_begin", "first", "kind", "last", "position", "size", "stream_id", "text", "time")

    def __init__(
        self, first: int, kind: Kind, stream_id: str, position: int, time: float, text: GrowingText
    ) -> None:
        self.first = first
        self.last = first - 1  # the log adds to it
        self.kind: Kind = kind
        self.stream_id = stream_id
        self.position = position
        self.size = 0
        self.time = time
        self.text = text
        self._begin = len(text)

    def close(self) -> None:
        """Measure the segment. Nothing is added afterwards."""
        entry = self.entry(0)
        self.size = getsizeof(entry.text) + END_BYTES * entry.count

    def entry(self, after: int) -> Entry:
        """Return the tokens after the sequence number `after`, merged into one entry."""
        skipped = max(0, after + 1 - self.first)
        begin, count = self._begin + skipped, self.last + 1 - self.first - skipped
        text = self.text.between(begin, begin + count)
        return Entry(self.last, self.stream_id, self.kind, None, text, self.position + skipped, count)

    def pieces(self, skipped: int) -> list[str]:
        """Return the tokens one by one, without the first `skipped`."""
        begin = self._begin + skipped
        return self.text.pieces(begin, self._begin + self.last + 1 - self.first)
