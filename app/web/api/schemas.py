"""What the API answers, as structs: handlers write them, and the OpenAPI document describes them."""

from __future__ import annotations

from typing import Literal

import msgspec

from app.chat.ports import Unreachable
from app.chat.records import SessionInfo
from app.chat.states import Outcome, Status


class ProblemDetails(msgspec.Struct, kw_only=True):
    """An error as RFC 9457 defines it. `code` is stable; `detail` says what to do."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str


class Registered(msgspec.Struct, kw_only=True):
    """A registered stream. `cursor` is the event ID just before its first event."""

    stream_id: str
    session_id: str
    status: Status
    events_url: str
    cursor: str


class Stopped(msgspec.Struct, kw_only=True):
    """The result of a stop. `outcome` is null if the stream had not ended within the wait."""

    outcome: Outcome | None
    upstream_closed: bool
    waited_ms: int


class Imported(msgspec.Struct, kw_only=True):
    """An imported session and its number of messages."""

    session_id: str
    title: str
    messages: int


class SessionList(msgspec.Struct, kw_only=True):
    """A page of sessions, newest first."""

    sessions: list[SessionInfo]
    next: str | None


class ModelEntry(msgspec.Struct, kw_only=True):
    """A model. `context` is in tokens; it and `vision` are null where the model server does not say."""

    id: str
    backend: str
    name: str
    context: int | None
    continues: bool
    vision: bool | None


class ModelList(msgspec.Struct, kw_only=True):
    """Models of the reachable backends. `total` counts all that match, also those beyond the limit.

    `origins` are scheme, host and port of the servers that prompts go to, by backend; those inside Tailrace have none.
    """

    models: list[ModelEntry]
    default: str | None
    unreachable: list[Unreachable]
    total: int
    origins: dict[str, str] = {}


class State(msgspec.Struct, kw_only=True):
    """The state of the server."""

    status: Literal["ok", "ready", "serving"]
