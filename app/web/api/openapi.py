"""The API as an OpenAPI 3.1 document, with the schemas of the very structs that handlers read and write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from app import __version__
from app.chat.archive import Archive
from app.chat.records import SessionInfo, StreamState
from app.web.api.rendered import RenderedMessage
from app.web.api.schemas import Imported, ModelList, ProblemDetails, Registered, SessionList, State, Stopped
from app.web.api.sessions import Snapshot
from app.web.blocks.events import BLOCK_EVENTS
from app.web.events.encoders import EVENTS
from app.web.http.accept import EVENTS as EVENT_STREAM
from app.web.http.accept import LINES
from app.web.http.addresses import HEALTH
from app.web.input.bodies import ID_PATTERN, Changes
from app.web.input.query_names import only
from app.web.input.stream_request import WHAT, StreamRequest

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
    RenderedMessage,
    *dict.fromkeys((EVENTS | BLOCK_EVENTS).values()),
)


class Operation(NamedTuple):
    """A route of the API, and what the document says of it."""

    route: web.RouteDef
    described: dict[str, Any]


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    _, components = msgspec.json.schema_components(COMPONENTS, ref_template="#/components/schemas/{name}")
    components["StreamRequest"]["oneOf"] = [
        {"required": [name], "properties": {name: {"type": "string"}}} for name in WHAT
    ]
    paths: dict[str, dict[str, Any]] = {}
    for route, described in operations:
        paths.setdefault(route.path, {})[route.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tailrace",
            "version": __version__,
            "description": "Streaming chat server. A session runs one stream at a time; a newer prompt replaces it.",
            "license": {"name": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def operation(
    route: web.RouteDef,
    summary: str,
    answers: Mapping[int, Any],
    *refusals: int,
    parameters: Sequence[dict[str, Any]] = (),
    body: str = "",
) -> Operation:
    """Return an operation: what it takes beside the ids in its path, what it answers, and how it may be refused.

    `body` and an answer that is a string name a schema. Refusals that follow from the rest are added.
    """
    if route.path.startswith("/api/"):
        names = [each["name"] for each in parameters if each["in"] == "query"]
        route = web.RouteDef(route.method, route.path, only(route.handler, names), route.kwargs)
    problem = _content("ProblemDetails", "application/problem+json")
    answered = {
        str(status): {"description": "OK", "content": _content(answer)} if isinstance(answer, str) else answer
        for status, answer in answers.items()
    }
    in_path = [
        parameter(name, "ID: 1 to 64 URL-safe characters.", place="path", pattern=f"^{ID_PATTERN}$")
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    statuses = {401, 421, *refusals}
    statuses |= {404, 422} if in_path else set()
    statuses |= {400, 413, 415, 422} if body else set()
    statuses |= {422} if parameters or route.path.startswith("/api/") else set()
    statuses |= {403} if route.method != "GET" else set()
    statuses |= {429} if route.method == "GET" and route.path not in HEALTH else set()
    described = {
        "summary": summary,
        "parameters": [*in_path, *parameters],
        "responses": answered
        | {str(status): {"description": "Refused.", "content": problem} for status in sorted(statuses)},
    }
    if body:
        described["requestBody"] = {"required": True, "content": _content(body)}
    return Operation(route, described)


def parameter(
    name: str, description: str, kind: str = "string", *, place: str = "query", **schema: Any
) -> dict[str, Any]:
    """Return a parameter."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": {"type": kind, **schema},
        "description": description,
    }


def events(*, lines: bool = False) -> dict[str, Any]:
    """Return an answer of events, each with the schema of its data; with `lines` also one JSON object a line."""
    found = {
        name: {"$ref": f"#/components/schemas/{struct.__name__}"}
        for name, struct in (EVENTS | BLOCK_EVENTS).items()
    }
    media = (EVENT_STREAM, LINES) if lines else (EVENT_STREAM,)
    return {
        "description": "Events. `x-events` has the schema of the data of each, by its name.",
        "content": {each: {"schema": {"type": "string"}, "x-events": found} for each in media},
    }


def content(*media: str, schema: str = "") -> dict[str, Any]:
    """Return an answer that is JSON of the `schema`, if there is one, or text of a media type."""
    text = {each: {"schema": {"type": "string"}} for each in media}
    return {"description": "OK", "content": (_content(schema) if schema else {}) | text}


def _content(schema: str, media: str = "application/json") -> dict[str, Any]:
    return {media: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
