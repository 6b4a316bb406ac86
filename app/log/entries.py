"""The entries of a session log. The web layer encodes them; `docs/protocol.md` has the events that clients see.

A new kind of entry is one struct here and one line in `NAMES`. Clients ignore the kinds that they do not know.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from app.chat.contents import Image, Problem
from app.chat.states import Outcome, Status

ResetReason = Literal["expired", "epoch", "lagging"]


class Prompt(msgspec.Struct, frozen=True, omit_defaults=True):
    """The user's message that a stream answers."""

    message_id: str
    text: str
    images: list[Image] = []


class Begun(msgspec.Struct, frozen=True):
    """What an answer had before the stream that continues it."""

    content: str = ""
    reasoning: str = ""


class Start(msgspec.Struct, frozen=True):
    """A stream has its turn. Other tabs draw the user's message from it."""

    stream_id: str
    message_id: str
    model: str
    prompt: Prompt
    parent_id: str | None = None  # the message that the prompt follows
    continued: Begun | None = None  # where the stream continues an answer


class StatusChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stream is `thinking` or `streaming` now. The `note` says what the model does, in the place of "Thinking…"."""

    stream_id: str
    status: Status
    note: str = ""


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


Event = Start | StatusChange | End
NAMES: dict[type[Event], str] = {Start: "start", StatusChange: "status", End: "end"}


class Entry(msgspec.Struct, eq=False, gc=False):
    """What viewers read from a session log: one event, or neighbouring pieces of text of one kind.

    Of pieces, `name` is their kind, `position` the index of the first among those of its kind, and `count` how many
    there are.
    """

    seq: int  # of the event, or of the last piece
    stream_id: str
    name: str
    event: Event | None = None  # `None`: this is text
    text: str = ""
    position: int = 0
    count: int = 1

    @classmethod
    def of(cls, seq: int, event: Event) -> Entry:
        """Return the entry of an event."""
        return cls(seq, event.stream_id, NAMES[type(event)], event)
