"""Events as bytes: SSE frames (WHATWG HTML, section 9.2.6) and the same events as NDJSON lines.

Everything in a frame is either ours or JSON, and JSON escapes CR, LF and NUL: no user text can end a field.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from app.streams.events import EVENT_NAMES
from app.streams.ports import Kind

_encode = msgspec.json.encode
_CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")
_DATA = b"data: "

PREAMBLE = b"retry: 2000\n: the stream of events begins\n\n"


class Cursor(NamedTuple):
    """A place in a session log: the events after `seq`, in the log of that `epoch`."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """Return the cursor written as `<epoch>-<seq>`, or `None` if `text` is not one."""
        match = _CURSOR.fullmatch(text)
        return cls(int(match[1]), int(match[2])) if match else None


class Frame(msgspec.Struct, eq=False, gc=False):
    """One or more neighbouring events of a stream, encoded once and written to every viewer as the same object."""

    stream_id: str
    name: str
    last: int  # the sequence number of the (last) event in it
    sse: bytes
    wire: bytes | None = None  # how the web layer frames it for the transport, kept for its other viewers

    def __repr__(self) -> str:
        return f"<Frame {self.name} last={self.last} stream={self.stream_id}>"

    @property
    def ndjson(self) -> bytes:
        """The event as one line of NDJSON, with its name as `type`."""
        return ndjson_line(self.name, self.sse[self.sse.index(_DATA) + len(_DATA) : -2])


def ndjson_line(name: str, data: bytes) -> bytes:
    """Return a line of NDJSON from an event's name and the JSON object of its data."""
    return b'{"type":"%b",%b\n' % (name.encode(), data[1:])


def event_frame(cursor: Cursor, event: Any) -> bytes:
    """Return the SSE frame of an event that carries state."""
    return b"id: %d-%d\nevent: %b\n" % (*cursor, EVENT_NAMES[type(event)].encode()) + _data(event)


def retry_frame(milliseconds: int) -> bytes:
    """Return what tells an EventSource how long to wait before it comes back. It is no event."""
    return b"retry: %d\n\n" % milliseconds


def passing_frame(event: Any) -> bytes:
    """Return the SSE frame of an event without an id: it carries no state, and moves no cursor."""
    return b"event: %b\n" % EVENT_NAMES[type(event)].encode() + _data(event)


def _data(event: Any) -> bytes:
    return b"data: %b\n\n" % _encode(event)


def text_template(epoch: int, kind: Kind, stream_id: str) -> bytes:
    """Return the frame of a text event with four gaps: seq, position, count, and the text as JSON.

    Filling gaps is the cheapest encoding there is, and this is done for every token. Ids hold no `%`.
    """
    return (
        f'id: {epoch}-%d\nevent: {kind}\ndata: {{"stream_id":"{stream_id}","position":%d,"count":%d,"text":%b}}\n\n'
    ).encode()


def text_frame(template: bytes, last: int, position: int, count: int, text: str) -> bytes:
    """Fill a `text_template`."""
    return template % (last, position, count, _encode(text))
