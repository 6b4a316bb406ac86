"""Every address of the server: what answers there and, for the API, what the OpenAPI document says of it."""

from __future__ import annotations

from functools import cache
from typing import Any

from aiohttp import web

from app.chat.searches import MOST_CHARACTERS
from app.web import operations
from app.web.api import archives, images, importing, openapi, sessions, streams
from app.web.api.openapi import content, events, operation, parameter
from app.web.app_keys import BASE
from app.web.assets.static_files import static_files
from app.web.http.body_type import body_type
from app.web.input import bodies
from app.web.input.searches import LONGEST_CURSOR
from app.web.ops import handlers as ops
from app.web.page import composer_forms, models_page, preferences, session_forms, views
from app.web.page.live import snapshots
from app.web.page.model_menu import MOST_MODELS
from app.web.rules import LARGEST_PAGE
from app.web.security.login import LoginPage


async def post_prompt(request: web.Request) -> web.StreamResponse:
    """POST /api/sessions/{session_id}/streams: a form gets the page, anything else the API."""
    is_form = body_type(request) in bodies.FORMS
    return await (composer_forms.post_prompt(request) if is_form else streams.post_stream(request))


async def get_openapi(request: web.Request) -> web.StreamResponse:
    """GET /api/openapi.json"""
    base = request.app[BASE]
    return bodies.respond_json({**document(), **({"servers": [{"url": base}]} if base else {})})


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    return openapi.document(API)


def pages(login: LoginPage) -> list[web.RouteDef]:
    """Return the addresses for browsers."""
    return [
        web.get("/", views.new_session_page),
        web.get("/sessions/{session_id}", views.session_page),
        web.get("/sessions/{session_id}/snapshot", snapshots.get_page_snapshot),
        web.get("/events", snapshots.get_page_events, allow_head=False),
        web.post("/sessions/{session_id}/stop", composer_forms.post_stop),
        web.post("/sessions/{session_id}/refresh", composer_forms.post_refresh),
        web.get("/sessions/{session_id}/manage", session_forms.manage_page),
        web.post("/sessions/{session_id}/rename", session_forms.post_rename),
        web.post("/sessions/{session_id}/delete", session_forms.post_delete),
        web.post("/sessions/{session_id}/restore", session_forms.post_restore),
        web.post("/preferences", preferences.post_preferences),
        web.get("/models", models_page.get_models_page),
        web.get("/ops", ops.get_page),
        web.get("/ops/events", ops.get_events, allow_head=False),
        web.get("/login", login.show),
        web.post("/login", login.submit),
        web.post("/logout", login.sign_out),
        web.get("/static/{path:.+}", static_files().get),
    ]


_CURSORS = (
    parameter("after", "Cursor: resume after this event."),
    parameter("cursor", "Same as `after`."),
    parameter("Last-Event-ID", "Cursor; takes precedence over `after`.", place="header"),
)
_RENDER = parameter("render", "`html`: also the rendered blocks of answers.", enum=["html"])
_WAIT = parameter("wait", "Seconds to wait for the stream to end.", "number", minimum=0, maximum=5)
_BRANCH = parameter("branch", "Message ID: return the newest branch that contains it.")
_KEY = parameter(
    "Idempotency-Key",
    "Makes a repeated POST safe: it returns the stream registered first.",
    place="header",
    pattern=f"^{bodies.KEY_PATTERN}$",
)
_REGISTERED = {
    "description": "Registered: the stream's addresses, or its events if `Accept` asks for them.",
    "content": content(schema="Registered")["content"] | events(lines=True)["content"],
    "headers": {"Location": {"schema": {"type": "string"}}},
}
_KNOWN = {"description": "The idempotency key was used before: the stream registered then."}

API = (
    operation(
        web.post("/api/sessions/{session_id}/streams", post_prompt),
        "Register a stream.",
        {201: _REGISTERED, 200: _REGISTERED | _KNOWN},
        *(409, 429, 503),
        parameters=[_KEY, _RENDER],
        body="StreamRequest",
    ),
    operation(
        web.get("/api/sessions/{session_id}/events", sessions.get_session_events, allow_head=False),
        "Stream the events of a session. Without a cursor it need not exist yet: "
        "the stream stays open and begins with its first prompt.",
        {200: events()},
        429,
        parameters=(*_CURSORS, _RENDER),
    ),
    operation(
        web.delete("/api/sessions/{session_id}/stream", streams.delete_session_stream),
        "Stop the running stream of a session.",
        {200: "Stopped", 204: {"description": "Nothing was running."}},
        parameters=[_WAIT],
    ),
    operation(
        web.get("/api/sessions", sessions.list_sessions),
        "List sessions.",
        {200: "SessionList"},
        *(429, 503),
        parameters=[
            parameter("q", "Words that must all occur in the title or messages.", maxLength=MOST_CHARACTERS),
            parameter("after", "`next` of the previous page.", maxLength=LONGEST_CURSOR),
            parameter("limit", "Sessions per page.", "integer", minimum=1, maximum=LARGEST_PAGE),
        ],
    ),
    operation(
        web.get("/api/sessions/{session_id}", sessions.get_session),
        "Get a session with the messages of one branch.",
        {200: "Snapshot"},
        parameters=[_BRANCH, _RENDER],
    ),
    operation(
        web.patch("/api/sessions/{session_id}", sessions.patch_session),
        "Change the title or options of a session.",
        {200: "SessionInfo"},
        body="Changes",
    ),
    operation(
        web.delete("/api/sessions/{session_id}", sessions.delete_session),
        "Delete a session.",
        {204: {"description": "Deleted."}},
        409,
    ),
    operation(
        web.post("/api/sessions/{session_id}/restore", archives.restore_session),
        "Restore a recently deleted session.",
        {200: "SessionInfo"},
        409,
    ),
    operation(
        web.get("/api/sessions/{session_id}/export", archives.export_session),
        "Export a session: all of it as JSON, or one branch as Markdown.",
        {200: content("text/markdown", schema="Archive")},
        parameters=[_BRANCH, parameter("format", "File format; JSON by default.", enum=["json", "markdown"])],
    ),
    operation(
        web.post("/api/sessions/import", importing.import_session),
        "Import an exported session under new IDs.",
        {201: "Imported"},
        *(429, 503, 507),
        body="Archive",
    ),
    operation(
        web.get("/api/images/{image_id}", images.get_image),
        "Get an image of a prompt.",
        {200: content("image/*")},
    ),
    operation(
        web.get("/api/streams/{stream_id}", streams.get_stream),
        "Get the state of a stream.",
        {200: "StreamState"},
    ),
    operation(
        web.delete("/api/streams/{stream_id}", streams.delete_stream),
        "Stop this stream only.",
        {200: "Stopped"},
        parameters=[_WAIT],
    ),
    operation(
        web.get("/api/streams/{stream_id}/events", streams.get_stream_events, allow_head=False),
        "Stream the events of one stream until it ends.",
        {200: events(), 204: {"description": "The cursor is already at the end."}},
        parameters=(*_CURSORS, _RENDER),
    ),
    operation(
        web.get("/api/models", operations.models),
        "List the models of every reachable backend.",
        {200: "ModelList"},
        parameters=[
            parameter("q", "Words in the model's name."),
            parameter(
                "limit",
                "Maximum number of models to return; `total` counts all matches.",
                "integer",
                minimum=1,
                maximum=MOST_MODELS,
            ),
        ],
    ),
    operation(
        web.get("/api/openapi.json", get_openapi),
        "Get this document.",
        {200: {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}},
    ),
    operation(web.get("/healthz", operations.healthz), "Liveness: the process responds.", {200: "State"}),
    operation(
        web.get("/readyz", operations.readyz), "Readiness: the server accepts prompts.", {200: "State"}, 503
    ),
    operation(
        web.get("/servez", operations.servez),
        "Whether a load balancer should send requests here, also while databases are away.",
        {200: "State"},
        503,
    ),
    operation(
        web.get("/metrics", operations.metrics),
        "Metrics in the Prometheus format.",
        {200: content("text/plain")},
    ),
)
