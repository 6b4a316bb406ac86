"""The aiohttp application: routes, middlewares, templates. It is given everything that it shows or acts on."""

from __future__ import annotations

from collections.abc import Callable, Collection

from aiohttp import web

from app.chat.ports import Catalog, Logger
from app.streams.registry import Registry
from app.web import operations, problems
from app.web.api import archives, images, sessions, streams
from app.web.app_keys import (
    BASE,
    CATALOG,
    CHANNELS,
    LIMITS,
    LISTS,
    PAGE_CHANNELS,
    PAGE_PULSE,
    PULSE,
    REGISTRY,
    RENDERER,
    SIGNS_IN,
)
from app.web.assets.static_files import static_files
from app.web.events.channels import Channels, ndjson_channel, sse_channel
from app.web.events.heartbeat import PAGE_HEARTBEAT, HeartbeatTimer
from app.web.events.list_changes import ListChanges
from app.web.http import accept, trailing_slash
from app.web.input import bodies
from app.web.limits import Limits
from app.web.page import (
    composer_forms,
    form_problems,
    models_page,
    preferences,
    session_forms,
    templates,
    views,
)
from app.web.page.live import snapshots
from app.web.page.live.channel import PageChannel
from app.web.page.live.renderer import Renderer
from app.web.security import access, host_and_origin

HEALTH = frozenset(
    {operations.healthz, operations.readyz}
)  # for every machine that asks: they tell their state, no more


def create_application(
    *,
    registry: Registry,
    catalog: Catalog,
    gate: access.Access,
    limits: Limits,
    heartbeat: float,
    allowed_hosts: Collection[str],
    base: str,
    metrics: Callable[[], bytes],
    logger: Logger,
) -> web.Application:
    """Return the application. `heartbeat` is in seconds; `base` is the path that it is found under, "" at the root.

    Nothing runs yet; it closes its renderer, nothing else.
    """
    login = access.LoginPage(gate)
    app = web.Application(
        client_max_size=limits.max_body_bytes,
        middlewares=[
            problems.middleware(logger),
            host_and_origin.middleware(allowed_hosts, HEALTH),
            access.middleware(gate, {*HEALTH, login.show, login.submit, login.sign_out, static_files().get}),
            trailing_slash.middleware,
            form_problems.middleware,
        ],
    )
    app[BASE] = base
    app[LISTS] = ListChanges()
    app[SIGNS_IN] = gate.required
    app[REGISTRY] = registry
    app[CATALOG] = catalog
    app[LIMITS] = limits
    app[PULSE] = HeartbeatTimer(heartbeat)
    app[PAGE_PULSE] = HeartbeatTimer(min(heartbeat, PAGE_HEARTBEAT))
    app[RENDERER] = renderer = Renderer()
    app[CHANNELS] = {accept.EVENTS: Channels(sse_channel), accept.LINES: Channels(ndjson_channel)}
    app[PAGE_CHANNELS] = Channels(lambda session: PageChannel(session, renderer, logger))
    app[operations.METRICS] = metrics
    app.on_cleanup.append(_close_renderer)
    app.on_response_prepare.append(host_and_origin.add_headers)
    app.on_startup.append(templates.set_up)
    add_routes(app, login)
    return app


async def _close_renderer(app: web.Application) -> None:
    app[RENDERER].close()


def add_routes(app: web.Application, login: access.LoginPage) -> None:
    """Every address, under the base path and at the root: a proxy may take the base path away or leave it."""
    base = app[BASE]
    if base:
        app.router.add_get(base, trailing_slash.add)
    for start in dict.fromkeys((base, "")):
        app.add_routes(web.RouteDef(r.method, start + r.path, r.handler, r.kwargs) for r in _routes(login))


def _routes(login: access.LoginPage) -> list[web.RouteDef]:
    """Every address of the server, in one place."""
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
        web.get("/login", login.show),
        web.post("/login", login.submit),
        web.post("/logout", login.sign_out),
        web.post("/api/sessions/{session_id}/streams", post_prompt),
        web.get("/api/sessions/{session_id}/events", sessions.get_session_events, allow_head=False),
        web.delete("/api/sessions/{session_id}/stream", streams.delete_session_stream),
        web.get("/api/sessions", sessions.list_sessions),
        web.post("/api/sessions/import", archives.import_session),
        web.get("/api/sessions/{session_id}/export", archives.export_session),
        web.post("/api/sessions/{session_id}/restore", archives.restore_session),
        web.get("/api/sessions/{session_id}", sessions.get_session),
        web.patch("/api/sessions/{session_id}", sessions.patch_session),
        web.delete("/api/sessions/{session_id}", sessions.delete_session),
        web.get("/api/images/{image_id}", images.get_image),
        web.get("/api/streams/{stream_id}", streams.get_stream),
        web.get("/api/streams/{stream_id}/events", streams.get_stream_events, allow_head=False),
        web.delete("/api/streams/{stream_id}", streams.delete_stream),
        web.get("/api/models", operations.models),
        web.get("/api/openapi.json", operations.openapi),
        web.get("/healthz", operations.healthz),
        web.get("/readyz", operations.readyz),
        web.get("/metrics", operations.metrics),
        web.get("/static/{path:.+}", static_files().get),
    ]


async def post_prompt(request: web.Request) -> web.StreamResponse:
    """POST /api/sessions/{session_id}/streams: a form gets the page, anything else the API."""
    is_form = request.content_type in bodies.FORMS
    return await (composer_forms.post_prompt(request) if is_form else streams.post_stream(request))
