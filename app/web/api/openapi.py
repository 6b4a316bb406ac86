"""The API as an OpenAPI 3.1 document, with the schemas of the very structs that handlers read and write."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from app import __version__
from app.chat.archive import Archive
from app.chat.records import SessionInfo, StreamState
from app.web.api.openapi_parts import any_json, content, id_in_path, json_of, operation, parameter
from app.web.api.schemas import Imported, ModelList, ProblemDetails, Registered, SessionList, State, Stopped
from app.web.api.sessions import Snapshot
from app.web.input.bodies import KEY_PATTERN, Changes
from app.web.input.stream_request import WHAT, StreamRequest
from app.web.page.model_menu import MOST_MODELS

COMPONENTS = (
    StreamRequest,
    Changes,
    ProblemDetails,
    Registered,
    Stopped,
    SessionList,
    SessionInfo,
    Archive,
    Imported,
    Snapshot,
    StreamState,
    ModelList,
    State,
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
    components["StreamRequest"]["oneOf"] = [
        {"required": [name], "properties": {name: {"type": "string"}}} for name in WHAT
    ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tailrace",
            "version": __version__,
            "description": "Streaming chat server. A session runs one stream at a time; a newer prompt replaces it.",
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
        parameter("after", "query", {"type": "string"}, "Cursor: resume after this event."),
        parameter("cursor", "query", {"type": "string"}, "Same as `after`."),
        parameter("Last-Event-ID", "header", {"type": "string"}, "Cursor; takes precedence over `after`."),
    ]
    wait = parameter(
        "wait",
        "query",
        {"type": "number", "minimum": 0, "maximum": 5},
        "Seconds to wait for the stream to end.",
    )
    branch = parameter(
        "branch", "query", {"type": "string"}, "Message ID: return the newest branch that contains it."
    )
    listing = [
        parameter(
            "q",
            "query",
            {"type": "string"},
            "Words that must all occur in the title or messages.",
        ),
        parameter("after", "query", {"type": "string"}, "`next` of the previous page."),
        parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 200}, "Sessions per page."),
    ]
    return {
        "/api/sessions/{session_id}/streams": {"post": _register(session)},
        "/api/sessions/{session_id}/events": {
            "get": operation(
                "Stream the events of a session. Without a cursor it need not exist yet: "
                "the stream stays open and begins with its first prompt.",
                [session, *cursors],
                {200: content(SSE)},
                *(404, 422, 429),
            )
        },
        "/api/sessions/{session_id}/stream": {
            "delete": operation(
                "Stop the running stream of a session.",
                [session, wait],
                {200: json_of("Stopped"), 204: {"description": "Nothing was running."}},
                *(403, 404, 422),
            )
        },
        "/api/sessions": {"get": operation("List sessions.", listing, {200: json_of("SessionList")}, 422)},
        "/api/sessions/{session_id}": {
            "get": operation(
                "Get a session with the messages of one branch.",
                [session, branch],
                {200: json_of("Snapshot")},
                *(404, 422),
            ),
            "patch": operation(
                "Change the title or options of a session.",
                [session],
                {200: json_of("SessionInfo")},
                *(400, 403, 404, 413, 415, 422),
                body="Changes",
            ),
            "delete": operation(
                "Delete a session.", [session], {204: {"description": "Deleted."}}, 403, 404, 409, 422
            ),
        },
        "/api/sessions/{session_id}/restore": {
            "post": operation(
                "Restore a recently deleted session.",
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
                "Export a session: all of it as JSON, or one branch as Markdown.",
                [session, branch, _FORMAT],
                {200: _exported()},
                *(404, 422),
            )
        },
        "/api/sessions/import": {
            "post": operation(
                "Import an exported session under new IDs.",
                [],
                {201: json_of("Imported")},
                *(400, 403, 413, 415, 422, 503),
                body="Archive",
            )
        },
        "/api/images/{image_id}": {
            "get": operation(
                "Get an image of a prompt.",
                [id_in_path("image_id")],
                {200: {"description": "OK", "content": {"image/*": {"schema": {"type": "string"}}}}},
                *(404, 422),
            )
        },
        "/api/streams/{stream_id}": {
            "get": operation("Get the state of a stream.", [stream], {200: json_of("StreamState")}, 404, 422),
            "delete": operation(
                "Stop this stream only.", [stream, wait], {200: json_of("Stopped")}, 403, 404, 422
            ),
        },
        "/api/streams/{stream_id}/events": {
            "get": operation(
                "Stream the events of one stream until it ends.",
                [stream, *cursors],
                {200: content(SSE), 204: {"description": "The cursor is already at the end."}},
                *(404, 422),
            )
        },
        "/api/models": {
            "get": operation(
                "List the models of every reachable backend.",
                [
                    parameter("q", "query", {"type": "string"}, "Words in the model's name."),
                    parameter(
                        "limit",
                        "query",
                        {"type": "integer", "minimum": 1, "maximum": MOST_MODELS},
                        "Maximum number of models to return; `total` counts all matches.",
                    ),
                ],
                {200: json_of("ModelList")},
                422,
            )
        },
        "/api/openapi.json": {"get": operation("Get this document.", [], {200: any_json()})},
        "/healthz": {"get": operation("Liveness: the process responds.", [], {200: json_of("State")})},
        "/readyz": {
            "get": operation("Readiness: the server accepts prompts.", [], {200: json_of("State")}, 503)
        },
        "/metrics": {"get": operation("Metrics in the Prometheus format.", [], {200: content("text/plain")})},
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
        "Makes a repeated POST safe: it returns the stream registered first.",
    )
    answer = json_of("Registered")
    answer["content"] |= {media: {"schema": {"type": "string"}} for media in (SSE, NDJSON)}
    answer["headers"] = {"Location": {"schema": {"type": "string"}}}
    known = dict(answer, description="The idempotency key was used before: the stream registered then.")
    refusals = (400, 403, 404, 409, 413, 415, 422, 429, 503)
    return operation(
        "Register a stream.", [session, key], {201: answer, 200: known}, *refusals, body="StreamRequest"
    )


_FORMAT = parameter(
    "format", "query", {"type": "string", "enum": ["json", "markdown"]}, "File format; JSON by default."
)
