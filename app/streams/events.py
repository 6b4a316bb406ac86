"""The events of a session log, as small frozen types. Their fields are the `data` of the protocol."""

from __future__ import annotations

from typing import Literal

import msgspec

from app.streams.ports import Kind
from app.streams.states import Outcome, Status

ResetReason = Literal["expired", "epoch", "lagging"]


class Problem(msgspec.Struct, frozen=True):
    """What went wrong: a stable code and a message for the user."""

    code: str
    message: str


class Image(msgspec.Struct, frozen=True):
    """An image that came with a prompt, without its bytes."""

    image_id: str
    media_type: str
    size: int  # bytes


class Prompt(msgspec.Struct, frozen=True, omit_defaults=True):
    """The user's message that a stream answers."""

    message_id: str
    text: str
    images: list[Image] = []


class Start(msgspec.Struct, frozen=True):
    """A stream has its turn. Other tabs draw the user's message from it."""

    stream_id: str
    message_id: str
    model: str
    prompt: Prompt
    parent_id: str | None = None  # the message that the prompt follows
    continues: bool = False  # whether it goes on with the text that the answer has


class StatusChange(msgspec.Struct, frozen=True):
    """A stream is `thinking` or `streaming` now."""

    stream_id: str
    status: Status


class Text(msgspec.Struct, frozen=True):
    """Tokens of one kind. `position` is the index of the first in its kind, `count` how many there are."""

    kind: Kind
    stream_id: str
    position: int
    count: int
    text: str


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The one end of a stream."""

    stream_id: str
    outcome: Outcome
    finish_reason: str | None
    tokens: int
    duration_ms: int
    ttft_ms: int | None
    upstream_closed: bool
    message_id: str
    thought_ms: int | None = None
    completion_tokens: int = 0
    tokens_per_second: float | None = None
    error: Problem | msgspec.UnsetType = msgspec.UNSET


class Reset(msgspec.Struct, frozen=True):
    """The cursor cannot be served: load the snapshot, and go on from its cursor."""

    reason: ResetReason
    snapshot_url: str


class Heartbeat(msgspec.Struct, frozen=True):
    """A sign of life in a silent connection. `time` is RFC 3339."""

    time: str


LoggedEvent = Start | StatusChange | End
EVENT_NAMES: dict[type, str] = {
    Start: "start",
    StatusChange: "status",
    End: "end",
    Reset: "reset",
    Heartbeat: "heartbeat",
}
