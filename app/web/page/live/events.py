"""The frames of the page's event stream: those of the API, with the session in their id, and a few of its own."""

from __future__ import annotations

import msgspec

from app.log.entries import ResetReason
from app.web.events.encoders import passing


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


def reset(base: str, session_id: str, reason: ResetReason) -> bytes:
    """Return the frame that asks for the snapshot; `base` is the path that the server is found under."""
    return passing("reset", ResetEvent(session_id, reason, f"{base}/sessions/{session_id}/snapshot"))
