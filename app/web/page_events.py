"""The frames of the page's event stream: those of the API, with the session in their id, and a few of its own."""

from __future__ import annotations

from typing import Literal

import msgspec

from app.streams.events import ResetReason
from app.streams.frames import Frame

_ID = b"id: "
_DATA = b"data: "
_encode = msgspec.json.encode


class BlockEvent(msgspec.Struct, frozen=True):
    """Block `index` of an answer is closed. Up to its end there are `end` UTF-16 code units of source."""

    session_id: str
    stream_id: str
    message_id: str
    index: int
    end: int
    html: str


class TailEvent(msgspec.Struct, frozen=True):
    """The blocks from `index` on are open again: their text is `text`, and begins at `closed`."""

    session_id: str
    stream_id: str
    message_id: str
    index: int
    closed: int
    text: str


class ResetEvent(msgspec.Struct, frozen=True):
    """The cursor of a session cannot be served: load the snapshot, and watch from its cursor."""

    session_id: str
    reason: ResetReason
    snapshot_url: str


class GoneEvent(msgspec.Struct, frozen=True):
    """There is no such session, or it was deleted."""

    session_id: str


class ListEvent(msgspec.Struct, frozen=True):
    """The owner's list of sessions has changed."""


class _Text(msgspec.Struct, frozen=True):
    text: str


_text = msgspec.json.Decoder(_Text)


def page_frame(session_id: str, frame: Frame) -> bytes:
    """Return a frame of a session log as the page's stream carries it."""
    return b"id: %b/%b" % (session_id.encode(), frame.sse[len(_ID) :])


def passing(
    name: Literal["block", "tail", "reset", "gone", "list", "heartbeat"], event: msgspec.Struct
) -> bytes:
    """Return the frame of an event that moves no cursor."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(event))


def reset(base: str, session_id: str, reason: ResetReason) -> bytes:
    """Return the frame that asks for the snapshot; `base` is the path that the server is found under."""
    return passing("reset", ResetEvent(session_id, reason, f"{base}/sessions/{session_id}/snapshot"))


def text_of(frame: Frame) -> str:
    """Return the text of a token frame."""
    return _text.decode(frame.sse[frame.sse.index(_DATA) + len(_DATA) : -2]).text
