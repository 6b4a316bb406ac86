"""Encodes session log entries as SSE frames (WHATWG HTML, section 9.2.6) or NDJSON lines.

A frame holds only our own strings and JSON. JSON escapes CR, LF and NUL, so user text cannot end a field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from app.log.entries import End, Entry, Event, Prompt, ResetReason, Start, StatusChange

Encoder = Callable[[Entry], bytes]

PREAMBLE = b"retry: 2000\n: the stream of events begins\n\n"

_json = msgspec.json.encode


class Reset(msgspec.Struct, frozen=True):
    """The cursor cannot be served: load the snapshot and resume from its cursor. This event has no id."""

    reason: ResetReason
    snapshot_url: str


class Heartbeat(msgspec.Struct, frozen=True):
    """Sent on an idle connection. `time` is RFC 3339. This event has no id."""

    time: str


class StartShown(msgspec.Struct, frozen=True):
    """The stream starts. `continues`: it completes an earlier answer, whose text clients have already."""

    stream_id: str
    message_id: str
    model: str
    prompt: Prompt
    parent_id: str | None
    continues: bool


class TextShown(msgspec.Struct, frozen=True):
    """Text of the answer (`token`) or of its reasoning (`reasoning`): `count` tokens, the first one at `position`.

    Neighbouring tokens may be merged; `id` is the last one's. Each kind is counted by itself, from 0.
    """

    stream_id: str
    position: int
    count: int
    text: str


# The events of the API by name, as the OpenAPI document describes them.
EVENTS: dict[str, type[msgspec.Struct]] = {
    "start": StartShown,
    "status": StatusChange,
    "reasoning": TextShown,
    "token": TextShown,
    "end": End,
    "reset": Reset,
    "heartbeat": Heartbeat,
}


class FrameEncoder:
    """Encodes the entries of one log as SSE frames. `place` precedes the sequence number in each event id.

    Text entries are formatted from a cached template, the cheapest encoding: this runs for every token.
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
        """Return a template for seq, position, count and the text as JSON. Ids contain no `%`."""
        return f"id: {self._place}%d\nevent: {entry.name}\ndata: {_text(entry)}\n\n".encode()


def _text(entry: Entry) -> str:
    return f'{{"stream_id":"{entry.stream_id}","position":%d,"count":%d,"text":%b}}'


def _shown(event: Event) -> msgspec.Struct:
    if not isinstance(event, Start):
        return event
    continues = event.continued is not None
    return StartShown(
        event.stream_id, event.message_id, event.model, event.prompt, event.parent_id, continues
    )


def ndjson(entry: Entry) -> bytes:
    """Return an entry as one NDJSON line, with its name as `type`."""
    if entry.event is not None:
        data = _json(_shown(entry.event))
    else:
        data = _text(entry).encode() % (entry.position, entry.count, _json(entry.text))
    return ndjson_line(entry.name, data)


def ndjson_line(name: str, data: bytes) -> bytes:
    """Return an NDJSON line from an event's name and its data, a JSON object that is not empty."""
    return b'{"type":"%b",%b\n' % (name.encode(), data[1:])


def passing(name: str, data: Any) -> bytes:
    """Return the SSE frame of an event without an id: it carries no state and does not move the cursor."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _json(data))


def retry(milliseconds: int) -> bytes:
    """Return the SSE field that sets the reconnection time. It dispatches no event."""
    return b"retry: %d\n\n" % milliseconds
