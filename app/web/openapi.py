"""The API as an OpenAPI 3.1 document, with the schemas of the very structs that handlers read and write."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from app import __version__
from app.streams.archive import Archive
from app.streams.records import SessionInfo, StreamState
from app.streams.states import Outcome, Status
from app.web.bodies import KEY_PATTERN, Changes
from app.web.new_stream import WHAT, NewStream
from app.web.openapi_parts import any_json, content, id_in_path, json_of, operation, parameter
from app.web.sessions import Snapshot


class Problem(msgspec.Struct, kw_only=True):
    """RFC 9457. `code` is stable; `detail` says what to do."""

    type: str
    title: str
    status: int
    code: str
    detail: str


class Registered(msgspec.Struct, kw_only=True):
    """A stream was registered. `cursor` is the id just before its first event."""

    stream_id: str
    session_id: str
    status: Status
    events_url: str
    cursor: str


class Stopped(msgspec.Struct, kw_only=True):
    """How a stop went. `outcome` is null if the stream had not ended when the wait was over."""

    outcome: Outcome | None
    upstream_closed: bool
    waited_ms: int


class Imported(msgspec.Struct, kw_only=True):
    """A session that was imported, and how many messages it has."""

    session_id: str
    title: str
    messages: int


class SessionList(msgspec.Struct, kw_only=True):
    """A page of sessions, newest first."""

    sessions: list[SessionInfo]
    next: str | None


COMPONENTS = (
    NewStream,
    Changes,
    Problem,
    Registered,
    Stopped,
    SessionList,
    SessionInfo,
    Archive,
    Imported,
    Snapshot,
    StreamState,
)
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    schemas, components = msgspec.json.schema_components(
        COMPONENTS, ref_template="#/components/schemas/{name}"
    )
    del schemas
    components["NewStream"]["oneOf"] = [
        {"required": [name], "properties": {name: {"type": "string"}}} for name in WHAT
    ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tailrace",
            "version": __version__,
            "description": "Streaming chat: one stream per session, the newest prompt always answers.",
            "license": {"name": "MIT"},
        },
        "paths": _paths(),
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _paths() -> dict[str, Any]:
    session, stream = id_in_path("session_id"), id_in_path("stream_id")
    cursors = [
        parameter("after", "query", {"type": "string"}, "A cursor: go on after this event."),
        parameter("Last-Event-ID", "header", {"type": "string"}, "A cursor; it wins over `after`."),
    ]
    wait = parameter(
        "wait", "query", {"type": "number", "minimum": 0, "maximum": 5}, "Seconds to wait for the end."
    )
    branch = parameter(
        "branch", "query", {"type": "string"}, "A message: show the newest branch that it is part of."
    )
    listing = [
        parameter(
            "q",
            "query",
            {"type": "string"},
            "Words that titles or messages hold, all of them.",
        ),
        parameter("after", "query", {"type": "string"}, "`next` of the page before."),
        parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 200}, "Sessions on a page."),
    ]
    return {
        "/api/sessions/{session_id}/streams": {"post": _register(session)},
        "/api/sessions/{session_id}/events": {
            "get": operation("The session's events.", [session, *cursors], {200: content(SSE)}, 404, 422)
        },
        "/api/sessions/{session_id}/stream": {
            "delete": operation(
                "Stop whatever runs in the session.",
                [session, wait],
                {200: json_of("Stopped"), 204: {"description": "Nothing runs."}},
                *(403, 404, 422),
            )
        },
        "/api/sessions": {"get": operation("Sessions.", listing, {200: json_of("SessionList")}, 422)},
        "/api/sessions/{session_id}": {
            "get": operation(
                "A session with the messages of one branch.",
                [session, branch],
                {200: json_of("Snapshot")},
                *(404, 422),
            ),
            "patch": operation(
                "Give a session another title, or other options.",
                [session],
                {200: json_of("SessionInfo")},
                *(400, 403, 404, 413, 415, 422),
                body="Changes",
            ),
            "delete": operation(
                "Delete a session.", [session], {204: {"description": "It is gone."}}, 403, 404, 409, 422
            ),
        },
        "/api/sessions/{session_id}/restore": {
            "post": operation(
                "Undo a delete of some seconds ago.",
                [session],
                {200: json_of("SessionInfo")},
                403,
                404,
                409,
                422,
            )
        },
        "/api/sessions/{session_id}/export": {
            "get": operation(
                "A session as a file: all of it as JSON, or one branch as Markdown.",
                [session, branch, _FORMAT],
                {200: _exported()},
                *(404, 422),
            )
        },
        "/api/sessions/import": {
            "post": operation(
                "Keep an exported session under ids of its own.",
                [],
                {201: json_of("Imported")},
                *(400, 403, 413, 415, 422, 503),
                body="Archive",
            )
        },
        "/api/images/{image_id}": {
            "get": operation(
                "An image of a prompt.",
                [id_in_path("image_id")],
                {200: {"description": "OK", "content": {"image/*": {"schema": {"type": "string"}}}}},
                *(404, 422),
            )
        },
        "/api/streams/{stream_id}": {
            "get": operation("State of a stream.", [stream], {200: json_of("StreamState")}, 404, 422),
            "delete": operation(
                "Stop this stream, and no other.", [stream, wait], {200: json_of("Stopped")}, 403, 404, 422
            ),
        },
        "/api/streams/{stream_id}/events": {
            "get": operation(
                "One stream's events, up to its end.",
                [stream, *cursors],
                {200: content(SSE), 204: {"description": "The cursor is at the end."}},
                *(404, 422),
            )
        },
        "/api/models": {"get": operation("Models of every reachable backend.", [], {200: any_json()})},
        "/api/openapi.json": {"get": operation("This document.", [], {200: any_json()})},
        "/healthz": {"get": operation("The process answers.", [], {200: any_json()})},
        "/readyz": {"get": operation("The server takes prompts.", [], {200: any_json()}, 503)},
        "/metrics": {"get": operation("Figures for Prometheus.", [], {200: content("text/plain")})},
    }


def _exported() -> dict[str, Any]:
    answer = json_of("Archive")
    answer["content"] |= {"text/markdown": {"schema": {"type": "string"}}}
    return answer


def _register(session: dict[str, Any]) -> dict[str, Any]:
    key = parameter(
        "Idempotency-Key",
        "header",
        {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
        "Makes a repeated POST harmless.",
    )
    answer = json_of("Registered")
    answer["content"] |= {media: {"schema": {"type": "string"}} for media in (SSE, NDJSON)}
    answer["headers"] = {"Location": {"schema": {"type": "string"}}}
    known = dict(answer, description="The idempotency key is known: what was registered then.")
    refusals = (400, 403, 404, 409, 413, 415, 422, 429, 503)
    return operation(
        "Register a stream.", [session, key], {201: answer, 200: known}, *refusals, body="NewStream"
    )


_FORMAT = parameter(
    "format", "query", {"type": "string", "enum": ["json", "markdown"]}, "What the file is; JSON by default."
)
