"""The API as an OpenAPI 3.1 document, with the schemas of the very structs that handlers read and write."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from app import __version__
from app.streams.archive import Archive
from app.streams.records import SessionInfo, StreamState
from app.streams.states import Outcome, Status
from app.web.bodies import ID_PATTERN, KEY_PATTERN, Changes
from app.web.new_stream import WHAT, NewStream
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
    session, stream = _id("session_id"), _id("stream_id")
    cursors = [
        _parameter("after", "query", {"type": "string"}, "A cursor: go on after this event."),
        _parameter("Last-Event-ID", "header", {"type": "string"}, "A cursor; it wins over `after`."),
    ]
    wait = _parameter(
        "wait", "query", {"type": "number", "minimum": 0, "maximum": 5}, "Seconds to wait for the end."
    )
    branch = _parameter(
        "branch", "query", {"type": "string"}, "A message: show the newest branch that it is part of."
    )
    listing = [
        _parameter("q", "query", {"type": "string"}, "Text that titles or messages hold."),
        _parameter("after", "query", {"type": "string"}, "`next` of the page before."),
        _parameter(
            "limit", "query", {"type": "integer", "minimum": 1, "maximum": 200}, "Sessions on a page."
        ),
    ]
    return {
        "/api/sessions/{session_id}/streams": {"post": _register(session)},
        "/api/sessions/{session_id}/events": {
            "get": _operation("The session's events.", [session, *cursors], {200: _content(SSE)}, 404, 422)
        },
        "/api/sessions/{session_id}/stream": {
            "delete": _operation(
                "Stop whatever runs in the session.",
                [session, wait],
                {200: _json("Stopped"), 204: {"description": "Nothing runs."}},
                *(403, 404, 422),
            )
        },
        "/api/sessions": {"get": _operation("Sessions.", listing, {200: _json("SessionList")}, 422)},
        "/api/sessions/{session_id}": {
            "get": _operation(
                "A session with the messages of one branch.",
                [session, branch],
                {200: _json("Snapshot")},
                *(404, 422),
            ),
            "patch": _operation(
                "Give a session another title, or other options.",
                [session],
                {200: _json("SessionInfo")},
                *(400, 403, 404, 413, 415, 422),
                body="Changes",
            ),
            "delete": _operation(
                "Delete a session.", [session], {204: {"description": "It is gone."}}, 403, 404, 409, 422
            ),
        },
        "/api/sessions/{session_id}/restore": {
            "post": _operation(
                "Undo a delete of some seconds ago.",
                [session],
                {200: _json("SessionInfo")},
                403,
                404,
                409,
                422,
            )
        },
        "/api/sessions/{session_id}/export": {
            "get": _operation(
                "A session as a file: all of it as JSON, or one branch as Markdown.",
                [session, branch, _FORMAT],
                {200: _exported()},
                *(404, 422),
            )
        },
        "/api/sessions/import": {
            "post": _operation(
                "Keep an exported session under ids of its own.",
                [],
                {201: _json("Imported")},
                *(400, 403, 413, 415, 422, 503),
                body="Archive",
            )
        },
        "/api/streams/{stream_id}": {
            "get": _operation("State of a stream.", [stream], {200: _json("StreamState")}, 404, 422),
            "delete": _operation(
                "Stop this stream, and no other.", [stream, wait], {200: _json("Stopped")}, 403, 404, 422
            ),
        },
        "/api/streams/{stream_id}/events": {
            "get": _operation(
                "One stream's events, up to its end.",
                [stream, *cursors],
                {200: _content(SSE), 204: {"description": "The cursor is at the end."}},
                *(404, 422),
            )
        },
        "/api/models": {"get": _operation("Models of every reachable backend.", [], {200: _any_json()})},
        "/api/openapi.json": {"get": _operation("This document.", [], {200: _any_json()})},
        "/healthz": {"get": _operation("The process answers.", [], {200: _any_json()})},
        "/readyz": {"get": _operation("The server takes prompts.", [], {200: _any_json()}, 503)},
        "/metrics": {"get": _operation("Figures for Prometheus.", [], {200: _content("text/plain")})},
    }


def _exported() -> dict[str, Any]:
    answer = _json("Archive")
    answer["content"] |= {"text/markdown": {"schema": {"type": "string"}}}
    return answer


def _register(session: dict[str, Any]) -> dict[str, Any]:
    key = _parameter(
        "Idempotency-Key",
        "header",
        {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
        "Makes a repeated POST harmless.",
    )
    answer = _json("Registered")
    answer["content"] |= {media: {"schema": {"type": "string"}} for media in (SSE, NDJSON)}
    answer["headers"] = {"Location": {"schema": {"type": "string"}}}
    known = dict(answer, description="The idempotency key is known: what was registered then.")
    refusals = (400, 403, 404, 409, 413, 415, 422, 429, 503)
    return _operation(
        "Register a stream.", [session, key], {201: answer, 200: known}, *refusals, body="NewStream"
    )


def _operation(
    summary: str, parameters: list[dict[str, Any]], answers: dict[int, Any], *refusals: int, body: str = ""
) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    refused = {status: {"description": "Refused.", "content": problem} for status in (*refusals, 401, 421)}
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": parameters,
        "responses": {str(status): answer for status, answer in {**answers, **refused}.items()},
    }
    if body:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameter(name: str, place: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": description,
    }


def _id(name: str) -> dict[str, Any]:
    return _parameter(
        name, "path", {"type": "string", "pattern": f"^{ID_PATTERN}$"}, "URL-safe, 1 to 64 characters."
    )


def _content(media: str) -> dict[str, Any]:
    return {"description": "OK", "content": {media: {"schema": {"type": "string"}}}}


def _json(name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": "OK", "content": {"application/json": {"schema": schema}}}


def _any_json() -> dict[str, Any]:
    return {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}


_FORMAT = _parameter(
    "format", "query", {"type": "string", "enum": ["json", "markdown"]}, "What the file is; JSON by default."
)
