"""The page event stream's own events. Those of the API are sent as well, with the session in their ids."""

from __future__ import annotations

import msgspec

from app.chat.scoped_ids import bare
from app.log.entries import ResetReason
from app.web.events.encoders import passing


class ResetEvent(msgspec.Struct, frozen=True):
    """The cursor of a session cannot be served: load the snapshot and watch from its cursor."""

    session_id: str
    reason: ResetReason
    snapshot_url: str


class GoneEvent(msgspec.Struct, frozen=True):
    """The session does not exist or was deleted."""

    session_id: str


class ListEvent(msgspec.Struct, frozen=True):
    """The owner's session list has changed: reload it."""


def reset(base: str, session_id: str, reason: ResetReason) -> bytes:
    """Return the frame of a reset event. `base` is the path that the server is mounted under."""
    own_id = bare(session_id)
    return passing("reset", ResetEvent(own_id, reason, f"{base}/sessions/{own_id}/snapshot"))
