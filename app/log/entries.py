"""The entries of a session log. The web layer encodes them; `docs/api.md` describes the events that clients see.

To add a kind of entry, add a struct here and a line in `NAMES`. Clients ignore unknown kinds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from app.chat.contents import Image, Problem
from app.chat.records import StreamState
from app.chat.states import Outcome, Status

ResetReason = Literal["expired", "epoch", "lagging"]


class Prompt(msgspec.Struct, frozen=True, omit_defaults=True):
    """The user's message that a stream answers."""

    message_id: str
    text: str
    images: list[Image] = []


class Begun(msgspec.Struct, frozen=True):
    """The text of an answer before the stream that continues it."""

    content: str = ""
    reasoning: str = ""


class Start(msgspec.Struct, frozen=True):
    """The stream starts. Other tabs render the user's message from this event."""

    stream_id: str
    message_id: str
    model: str
    prompt: Prompt
    parent_id: str | None = None  # the message that the prompt follows
    continued: Begun | None = None  # set if the stream continues an answer


class StatusChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """The stream is now `thinking` or `streaming`. The `note` is shown in place of "Thinking…".

    While the stream waits for its model server, `place` is its place in line, from 1 on, and the note says so.
    """

    stream_id: str
    status: Status
    note: str = ""
    place: int = 0


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The stream has ended. Each stream has exactly one `end`. Fields as in `StreamState`."""

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


def end_of(state: StreamState, outcome: Outcome) -> End:
    """Return the `end` of a stream whose final state this is."""
    return End(
        stream_id=state.stream_id,
        outcome=outcome,
        finish_reason=state.finish_reason,
        tokens=state.tokens,
        duration_ms=state.duration_ms,
        ttft_ms=state.ttft_ms,
        thought_ms=state.thought_ms,
        completion_tokens=state.completion_tokens,
        tokens_per_second=state.tokens_per_second,
        upstream_closed=state.upstream_closed,
        message_id=state.message_id,
        error=state.error,
    )


Event = Start | StatusChange | End
NAMES: dict[type[Event], str] = {Start: "start", StatusChange: "status", End: "end"}


class Entry(msgspec.Struct, eq=False, gc=False):
    """What viewers read from a session log: one event, or adjacent pieces of text of one kind.

    For text, `name` is the kind, `position` the index of the first piece among those of its kind, and `count` the
    number of pieces.
    """

    seq: int  # of the event, or of the last piece
    stream_id: str
    name: str
    event: Event | None = None  # `None` for text
    text: str = ""
    position: int = 0
    count: int = 1

    @classmethod
    def of(cls, seq: int, event: Event) -> Entry:
        """Return the entry for an event."""
        return cls(seq, event.stream_id, NAMES[type(event)], event)
