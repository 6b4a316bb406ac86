"""The entries of a log as Redis keeps them: one field per entry, its name says the kind, its value is msgpack.

The id of an entry is `<epoch>-<seq>`, with the sequence number of its last event. Redis refuses an id that is not
greater than all before. So the marker `<epoch>-0`, which an owner writes first, fences off the owners before it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from app.chat.ports import Kind
from app.log.entries import NAMES, End, Event, Start, StatusChange
from app.log.segments import EVENT_BYTES, TEXT_PIECES

PIECE_BYTES = 64  # approximate size of a piece of text in memory, not counting its characters
BATCH_BYTES = 64 * 1024  # approximate size of what is sent before it is acknowledged, and of a record at most
MARKER = b"m"
KINDS: dict[bytes, Kind] = {b"t": "token", b"r": "reasoning"}
FIELDS: dict[Kind, bytes] = {kind: field for field, kind in KINDS.items()}

_pack = msgspec.msgpack.encode
_texts = msgspec.msgpack.Decoder(tuple[str, int, list[str]])
_events: dict[bytes, msgspec.msgpack.Decoder[Event]] = {
    b"start": msgspec.msgpack.Decoder(Start),
    b"status": msgspec.msgpack.Decoder(StatusChange),
    b"end": msgspec.msgpack.Decoder(End),
}


class Place(NamedTuple):
    """The id of an entry."""

    epoch: int
    seq: int

    @classmethod
    def parse(cls, data: bytes) -> Place:
        """Parse an id as Redis writes it."""
        epoch, _, seq = data.partition(b"-")
        return cls(int(epoch), int(seq))


class Marker(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """A new owner. With a `base`, what comes before it is void, and what follows begins after that sequence number.

    `cuts` then says of each earlier epoch up to which sequence number it counts.
    """

    base: int | None = None
    cuts: list[tuple[int, int]] = []


_markers = msgspec.msgpack.Decoder(Marker)


class Record:
    """One event, or adjacent pieces of text. `last` is the sequence number of the event or of the last piece."""

    __slots__ = ("event", "kind", "last", "position", "sent", "size", "stream_id", "texts")

    def __init__(
        self,
        last: int,
        event: Event | None = None,
        kind: Kind = "token",
        stream_id: str = "",
        position: int = 0,
        texts: list[str] | None = None,
    ) -> None:
        self.last = last
        self.event = event
        self.kind: Kind = kind
        self.stream_id = stream_id
        self.position = position
        self.texts = texts if texts is not None else []
        self.sent = False  # Redis may have it under this `last`, so it must not grow any more
        self.size = EVENT_BYTES if event is not None else text_size(self.texts)

    def __repr__(self) -> str:
        what = NAMES[type(self.event)] if self.event is not None else f"{self.kind} {len(self.texts)}"
        return f"<Record {self.last} {what}>"

    @property
    def first(self) -> int:
        """The sequence number of the event or of the first piece."""
        return self.last if self.event is not None else self.last - len(self.texts) + 1

    def takes(self, kind: Kind, stream_id: str, count: int) -> bool:
        """Return whether `count` more pieces of that text can join it."""
        return (
            not self.sent
            and self.event is None
            and self.kind == kind
            and self.stream_id == stream_id
            and len(self.texts) + count <= TEXT_PIECES
            and self.size < BATCH_BYTES
        )

    def after(self, seq: int) -> Record:
        """Return what of this text follows `seq`, which is in it."""
        skipped = seq + 1 - self.first
        return Record(
            self.last,
            kind=self.kind,
            stream_id=self.stream_id,
            position=self.position + skipped,
            texts=self.texts[skipped:],
        )

    def encode(self) -> tuple[bytes, bytes]:
        """Return field and value."""
        if self.event is not None:
            return NAMES[type(self.event)].encode(), _pack(self.event)
        return FIELDS[self.kind], _pack((self.stream_id, self.position, self.texts))


def text_size(texts: list[str]) -> int:
    """Return the approximate size of pieces of text in memory, in bytes."""
    if len(texts) == 1:  # as of most tokens
        return len(texts[0]) + PIECE_BYTES
    return sum(map(len, texts)) + PIECE_BYTES * len(texts)


def decode(place: Place, field: bytes, value: bytes) -> Record | Marker | None:
    """Return what an entry says; `None` for a kind that this version does not know, or for what is no entry of ours."""
    try:
        if field == MARKER:
            return _markers.decode(value)
        if (kind := KINDS.get(field)) is not None:
            stream_id, position, texts = _texts.decode(value)
            return Record(place.seq, kind=kind, stream_id=stream_id, position=position, texts=texts)
        decoder = _events.get(field)
        return None if decoder is None else Record(place.seq, event=decoder.decode(value))
    except msgspec.DecodeError:
        return None


def encode_marker(marker: Marker) -> bytes:
    """Return the value of a marker."""
    return _pack(marker)
