"""Handlers for operations: liveness, readiness, metrics, models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from aiohttp import web

from app.web.api.schemas import ModelEntry, ModelList, State
from app.web.app_keys import CATALOG, CLUSTER, REGISTRY
from app.web.i18n import translations
from app.web.i18n.error_texts import said
from app.web.input import bodies
from app.web.page.model_menu import MOST_MODELS, matching
from app.web.problems import RETRY_AFTER, ProblemError

METRICS: web.AppKey[Callable[[], bytes]] = web.AppKey("metrics")
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # the text format of Prometheus


async def healthz(_: web.Request) -> web.StreamResponse:
    """GET /healthz: 200 while the process responds."""
    return bodies.respond_json(State(status="ok"))


async def readyz(request: web.Request) -> web.StreamResponse:
    """GET /readyz: 200 while the server accepts prompts; 503 while it drains, or lacks what a node needs."""
    cluster = request.app[CLUSTER]
    _check(request, cluster.trouble() if cluster is not None else ())
    return bodies.respond_json(State(status="ready"))


async def servez(request: web.Request) -> web.StreamResponse:
    """GET /servez: 200 while requests should be sent here; 503 before a node has joined, and while it leaves.

    Without its engines a node still shows pages, and stops answers. They are away for all nodes at once.
    """
    cluster = request.app[CLUSTER]
    absence = cluster.absence() if cluster is not None else ""
    _check(request, (absence,) if absence else ())
    return bodies.respond_json(State(status="serving"))


def _check(request: web.Request, reasons: Sequence[str]) -> None:
    headers = {"Retry-After": RETRY_AFTER}
    if request.app[REGISTRY].draining:
        raise ProblemError(503, "draining", "The server is shutting down.", headers=headers)
    if reasons:
        raise ProblemError(503, "not_ready", f"Not ready: {'; '.join(reasons)}.", headers=headers)


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
