"""Handlers for operations: liveness, readiness, metrics, models."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from aiohttp import web

from app.web.api.schemas import ModelEntry, ModelList, State
from app.web.app_keys import CATALOG, REGISTRY
from app.web.i18n import translations
from app.web.i18n.error_texts import said
from app.web.input import bodies
from app.web.page.model_menu import MOST_MODELS, matching
from app.web.problems import ProblemError

METRICS: web.AppKey[Callable[[], bytes]] = web.AppKey("metrics")
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # the text format of Prometheus


async def healthz(_: web.Request) -> web.StreamResponse:
    """GET /healthz: 200 while the process responds."""
    return bodies.respond_json(State(status="ok"))


async def readyz(request: web.Request) -> web.StreamResponse:
    """GET /readyz: 200 while the server accepts prompts; 503 while it drains."""
    if request.app[REGISTRY].draining:
        raise ProblemError(503, "draining", "The server is shutting down.", headers={"Retry-After": "2"})
    return bodies.respond_json(State(status="ready"))


async def metrics(request: web.Request) -> web.StreamResponse:
    """GET /metrics in the Prometheus text format."""
    return web.Response(body=request.app[METRICS](), headers={"Content-Type": METRICS_TYPE})


async def models(request: web.Request) -> web.StreamResponse:
    """GET /api/models?q=&limit=: the models of all reachable backends, and the unreachable backends."""
    listing = await request.app[CATALOG].listing()
    found = matching(listing.models, request.query.get("q", ""))
    limit = bodies.number(request, "limit", MOST_MODELS, least=1, most=MOST_MODELS)
    known = [
        ModelEntry(
            id=model.model_id,
            backend=model.backend,
            name=model.name,
            context=model.context,
            continues=model.continues,
            vision=model.vision,
        )
        for model in found[:limit]
    ]
    language = translations.of(request)
    unreachable = [
        msgspec.structs.replace(silent, message=said(language, silent.code, silent.message))
        for silent in listing.unreachable
    ]
    return bodies.respond_json(
        ModelList(
            models=known,
            default=listing.default,
            unreachable=unreachable,
            total=len(found),
            origins=dict(listing.origins),
        )
    )
