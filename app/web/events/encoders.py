"""Entries of a session log as bytes: SSE frames (WHATWG HTML, section 9.2.6), NDJSON lines, and frames for pages.

Everything in a frame is either ours or JSON, and JSON escapes CR, LF and NUL: no user text can end a field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from app.log.entries import Entry, Event, Prompt, ResetReason, Start

Encoder = Callable[[Entry], bytes]

PREAMBLE = b"retry: 2000\n: the stream of events begins\n\n"

_json = msgspec.json.encode


class Reset(msgspec.Struct, frozen=True):
    """The cursor cannot be served: load the snapshot, and go on from its cursor."""

    reason: ResetReason
    snapshot_url: str


class Heartbeat(msgspec.Struct, frozen=True):
    """A sign of life in a silent connection. `time` is RFC 3339."""

    time: str


class _Start(msgspec.Struct, frozen=True):
    """What clients see of a `Start`: they have the text that an answer goes on with."""

    stream_id: str
    message_id: str
    model: str
    prompt: Prompt
    parent_id: str | None
    continues: bool


class FrameEncoder:
    """Encodes the entries of one log as SSE frames. `place` is what comes before the sequence number in their ids.

    Text fills the gaps of a template, which is the cheapest encoding there is: this is done for every token.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._template = b""
        self._stream_id = self._kind = ""  # of the last text

    def encode(self, entry: Entry) -> bytes:
        """Return the frame of an entry."""
        if entry.event is not None:
            head = f"id: {self._place}{entry.seq}\nevent: {entry.name}\ndata: "
            return b"%b%b\n\n" % (head.encode(), _json(_shown(entry.event)))
        if self._stream_id != entry.stream_id or self._kind != entry.name:
            self._stream_id, self._kind = entry.stream_id, entry.name
            self._template = self._text_template(entry)
        return self._template % (entry.seq, entry.position, entry.count, _json(entry.text))

    def _text_template(self, entry: Entry) -> bytes:
        """Return a frame with four gaps: seq, position, count, and the text as JSON. Ids hold no `%`."""
        return f"id: {self._place}%d\nevent: {entry.name}\ndata: {_text(entry)}\n\n".encode()


def _text(entry: Entry) -> str:
    return f'{{"stream_id":"{entry.stream_id}","position":%d,"count":%d,"text":%b}}'


def _shown(event: Event) -> msgspec.Struct:
    if not isinstance(event, Start):
        return event
    continues = event.continued is not None
    return _Start(event.stream_id, event.message_id, event.model, event.prompt, event.parent_id, continues)


def ndjson(entry: Entry) -> bytes:
    """Return an entry as one line of NDJSON, with its name as `type`."""
    if entry.event is not None:
        data = _json(_shown(entry.event))
    else:
        data = _text(entry).encode() % (entry.position, entry.count, _json(entry.text))
    return ndjson_line(entry.name, data)


def ndjson_line(name: str, data: bytes) -> bytes:
    """Return a line of NDJSON from an event's name and the JSON object of its data."""
    return b'{"type":"%b",%b\n' % (name.encode(), data[1:])


def passing(name: str, data: Any) -> bytes:
    """Return the SSE frame of an event without an id: it carries no state, and moves no cursor."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _json(data))


def retry(milliseconds: int) -> bytes:
    """Return what tells an EventSource how long to wait before it comes back. It is no event."""
    return b"retry: %d\n\n" % milliseconds
