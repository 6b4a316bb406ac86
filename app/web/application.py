"""The aiohttp application: routes, middlewares, templates. It is given everything that it shows or acts on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from app.chat.ports import Catalog, Logger
from app.chat.records import History
from app.chat.tracing import Tracer
from app.cluster.cluster import Cluster
from app.networks import Proxies
from app.streams.registry import Registry
from app.streams.session import Session
from app.web import operations, problems, routes
from app.web.api import importing
from app.web.api.import_lane import ImportLane
from app.web.app_keys import (
    BASE,
    BLOCK_CHANNELS,
    BODIES,
    CATALOG,
    CHANNELS,
    CLUSTER,
    FRAME_ANCESTORS,
    HISTORY,
    LIMITS,
    LISTS,
    OPEN_STREAMS,
    PAGE_CHANNELS,
    PAGE_PULSE,
    PROXIES,
    PULSE,
    REGISTRY,
    RENDERER,
    SIGNS_IN,
    TRACER,
    TURNS,
    VIEWERS,
)
from app.web.assets.static_files import static_files
from app.web.blocks.channel import BlockChannel, Format, ndjson_format, page_format, sse_format
from app.web.blocks.renderer import Renderer
from app.web.events.channels import Channels, ndjson_channel, sse_channel
from app.web.events.heartbeat import PAGE_HEARTBEAT, HeartbeatTimer
from app.web.events.list_changes import ListChanges
from app.web.events.measures import ViewerMeasures
from app.web.events.open_streams import OpenStreams
from app.web.http import accept, trailing_slash
from app.web.input import reading
from app.web.input.body_budget import BodyBudget
from app.web.limits import Limits
from app.web.ops import handlers as ops
from app.web.output import entry as output
from app.web.output.turns import Turns
from app.web.output.unread import Unread
from app.web.page import form_problems, templates
from app.web.security import entry, headers, host_and_origin
from app.web.security.access import Access
from app.web.security.gates import Gate
from app.web.security.guesses import Guesses
from app.web.security.login import LoginPage
from app.web.security.origins import Origins
from app.web.security.refusals import Refusals

if TYPE_CHECKING:
    from app.web.nodes.nodes import Nodes

HEALTH = frozenset({operations.healthz, operations.readyz, operations.servez})  # for every machine that asks


Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


class Parts(NamedTuple):
    """What an application shows and acts on. It is there once the history is open."""

    registry: Registry
    history: History
    catalog: Catalog
    metrics: Callable[[], bytes]
    viewers: ViewerMeasures
    tracer: Tracer
    cluster: Cluster | None = None


def create_application(
    *,
    parts: Parts | None,
    gate: Gate,
    limits: Limits,
    heartbeat: float,
    allowed_hosts: Collection[str],
    allowed_origins: Collection[str],
    frame_ancestors: tuple[str, ...],
    base: str | None,
    trusted_proxies: Collection[str],
    guesses: Guesses,
    refusals: Refusals,
    logger: Logger,
) -> web.Application:
    """Return the application. `heartbeat` is in seconds; `base` is the path that it is found under, "" at the root.

    Of a sub-application, which is made before its parent says where it is, and before anything is open, `parts` and
    `base` are `None`; `fill` follows at start. Nothing runs yet; it closes its renderer, nothing else.
    """
    nodes = (
        _nodes(parts.cluster, heartbeat, logger) if parts is not None and parts.cluster is not None else None
    )
    login = LoginPage(gate if isinstance(gate, Access) else None)
    origins = Origins(allowed_origins)
    app = web.Application(
        client_max_size=limits.max_body_bytes,
        middlewares=[
            problems.middleware(logger),
            *([nodes.let_peers_in] if nodes is not None else []),
            host_and_origin.middleware(allowed_hosts, origins, HEALTH, frames=bool(frame_ancestors)),
            entry.middleware(gate, {*HEALTH, login.show, login.submit, login.sign_out, static_files().get}),
            reading.middleware,
            output.middleware,
            trailing_slash.middleware,
            form_problems.middleware,
            *([nodes.find_owner] if nodes is not None else []),
        ],
    )
    if parts is not None:
        fill(app, parts, base or "")
    app[FRAME_ANCESTORS] = frame_ancestors
    app[PROXIES] = Proxies(trusted_proxies)
    app[LISTS] = ListChanges()
    app[OPEN_STREAMS] = OpenStreams(limits.owner_event_streams)
    app[BODIES] = BodyBudget()
    app[TURNS] = Turns(Unread())
    app[SIGNS_IN] = gate.signs_in
    app[LIMITS] = limits
    app[PULSE] = HeartbeatTimer(heartbeat)
    app[PAGE_PULSE] = HeartbeatTimer(min(heartbeat, PAGE_HEARTBEAT))
    app[RENDERER] = Renderer()
    app[CHANNELS] = {accept.EVENTS: Channels(sse_channel), accept.LINES: Channels(ndjson_channel)}
    app[PAGE_CHANNELS] = _block_channels(page_format, app, logger)
    app[BLOCK_CHANNELS] = {
        accept.EVENTS: _block_channels(sse_format, app, logger),
        accept.LINES: _block_channels(ndjson_format, app, logger),
    }
    app[importing.IMPORTS] = ImportLane()
    app[ops.READERS], app[ops.DRAWN] = set(), {}
    if nodes is not None:
        nodes.join(app)
    app.on_shutdown.append(ops.close)
    app.on_cleanup.append(_close_renderer)
    app.on_cleanup.extend((guesses.close, refusals.close))
    signals: tuple[Signal, ...] = (headers.add, origins.add, refusals.see, output.begin)
    app.on_response_prepare.extend(signals if base is not None else [_of(app, each) for each in signals])
    app.on_startup.append(templates.set_up)
    add_routes(app, login, base)
    return app


def _nodes(cluster: Cluster, heartbeat: float, logger: Logger) -> Nodes:
    from app.web.nodes.nodes import Nodes  # a single server does not load it

    return Nodes(cluster, heartbeat=heartbeat, logger=logger)


def fill(app: web.Application, parts: Parts, base: str) -> None:
    """Give an application what it shows and acts on, before it serves anybody."""
    app[BASE] = base
    app[REGISTRY] = parts.registry
    app[HISTORY] = parts.history
    app[CATALOG] = parts.catalog
    app[operations.METRICS] = parts.metrics
    app[VIEWERS] = parts.viewers
    app[TRACER] = parts.tracer
    app[CLUSTER] = parts.cluster


def _of(app: web.Application, signal: Signal) -> Signal:
    """Return a signal for the responses of a sub-application alone: those of its parent's middlewares come by, too."""

    async def ours(request: web.Request, response: web.StreamResponse) -> None:
        if request.app is app:
            await signal(request, response)

    return ours


def _block_channels(
    form: Callable[[Session], Format], app: web.Application, logger: Logger
) -> Channels[BlockChannel]:
    return Channels(lambda session: BlockChannel(session, form(session), app[RENDERER], logger))


async def _close_renderer(app: web.Application) -> None:
    app[RENDERER].close()


def add_routes(app: web.Application, login: LoginPage, base: str | None) -> None:
    """Every address, under the base path and at the root: a proxy may take the base path away or leave it.

    Without a `base` at the root alone: the parent of a sub-application puts its path in front of every address.
    """
    if base != "":
        app.router.add_get(base or "", trailing_slash.add)
    addresses = [*(described.route for described in routes.API), *routes.pages(login)]
    for start in dict.fromkeys((base or "", "")):
        app.add_routes(web.RouteDef(r.method, start + r.path, r.handler, r.kwargs) for r in addresses)
