"""Builds the parts from the settings, runs the server, shuts it down. Only this and `embedding` know every layer."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog
from aiohttp import web

from app import hosts
from app.agent import Agent
from app.backends.agents import loading
from app.backends.agents.backend import AgentBackend
from app.backends.catalog import Catalog
from app.backends.embedded.backend import SLOTS, EmbeddedBackend
from app.backends.ollama.backend import OllamaBackend
from app.backends.openai.backend import OpenAIBackend
from app.backends.scripted.backend import ScriptedBackend
from app.chat.errors import HistoryUnavailable
from app.chat.ports import Backend, Logger
from app.chat.quotas import StorageLimits, UseLimits
from app.chat.tokens import TokenStore
from app.config.servers import ModelServer
from app.config.settings import Settings, is_loopback
from app.history import opening
from app.history.errors import DatabaseUnusable
from app.history.fence import Fence
from app.history.memory import MemoryHistory
from app.history.sql import SqlHistory
from app.private import private_folder
from app.secret import UnsafeSecret, kept_secret
from app.shutdown import Closing, ShutdownWatchdog, drain
from app.streams.auto_continue import AutoContinue
from app.streams.bounds import Bounds
from app.streams.line import Lines
from app.streams.registry import Registry
from app.systemd import notifying
from app.systemd.listening import UnusableSocket, take_sockets
from app.systemd.notifying import Notifier
from app.telemetry import metrics, tracing
from app.telemetry.loop_health import LoopHealth
from app.telemetry.sources import Sources
from app.watchdog import Watchdog
from app.web.app_keys import NODES
from app.web.application import Parts, create_application
from app.web.events.measures import ViewerMeasures
from app.web.limits import Limits
from app.web.security import access, connections, malformed_requests
from app.web.security.gates import Gate, LocalGate, ProxyGate
from app.web.security.guess_counts import GuessCounts
from app.web.security.guesses import Guesses
from app.web.security.refusals import Refusals
from app.web.security.runner import Runner

if TYPE_CHECKING:
    from app.nodes.estate import Shared
    from app.nodes.starting import ClusterNode

SECRET_FILE = "secret.key"
# aiohttp's own wait for open connections at shutdown; by then every event stream has been closed.
SHUTDOWN_SECONDS = 0.25
# Connections that may wait to be accepted. Beyond it the kernel drops them, and a client retries a second later.
BACKLOG = 2048


class StartupError(Exception):
    """The server cannot start. The message says why, and what to do about it."""


class Server:
    """The parts of a running server."""

    def __init__(
        self,
        runner: web.AppRunner,
        registry: Registry,
        catalog: Catalog,
        url: str,
        departure: Closing,
    ) -> None:
        self.runner = runner
        self.registry = registry
        self.catalog = catalog
        self.url = url
        self.departure = departure  # ends the answers: the registry, or what also hands them to other nodes

    def __repr__(self) -> str:
        return f"<Server {self.url} {self.registry!r}>"

    def backend(self, name: str) -> Backend:
        """Return the backend with this prefix. Raises `KeyError`."""
        return {backend.name: backend for backend in self.catalog.backends}[name]


def bounds(settings: Settings) -> Bounds:
    """Return the bounds of the core: those that are settings have the same names."""
    known = msgspec.convert(settings, Bounds, from_attributes=True)
    return msgspec.structs.replace(known, log_tokens=settings.log_level == "debug")


def backends(
    settings: Settings, logger: Logger, agents: Mapping[str, Agent] = MappingProxyType({})
) -> list[Backend]:
    """Return the configured backends. The order decides which one provides the default model.

    `agents` are by name, beside those of the settings.
    """
    chosen: list[Backend] = []
    if settings.openai_url:
        chosen.append(OpenAIBackend(settings.openai_url, api_key=settings.openai_api_key, logger=logger))
    chosen.extend(_backend(server, logger) for server in settings.servers)
    if settings.ollama_url:
        chosen.append(OllamaBackend(settings.ollama_url, logger=logger))
    if settings.agents or agents:
        chosen.append(AgentBackend({**_agents(settings), **agents}, logger=logger))
    if settings.embedded:
        chosen.append(EmbeddedBackend(logger=logger))
    if settings.scripted:
        chosen.append(ScriptedBackend())
    return chosen


def _agents(settings: Settings) -> dict[str, Agent]:
    """Import the agents, also from the current folder. Raises `StartupError`."""
    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # a console script does not have it there, `python -m` does
    try:
        return loading.load(settings.agents)
    except loading.AgentUnusable as error:
        raise StartupError(f"TAILRACE_AGENTS: {error}") from error


def _backend(server: ModelServer, logger: Logger) -> Backend:
    make = OllamaBackend if server.api == "ollama" else OpenAIBackend
    return make(
        server.url,
        name=server.name,
        api_key=server.key,
        headers=server.headers,
        context=server.context,
        logger=logger,
    )


def named_models(settings: Settings) -> dict[str, list[str]]:
    """Return the models that can be used even if the server does not list them, by server name.

    The default model is included if its server is OpenAI-compatible.
    """
    named = {server.name: list(server.models) for server in settings.servers}
    if settings.openai_url:
        named["openai"] = []
    ollamas = {server.name for server in settings.servers if server.api == "ollama"}
    prefix, _, model = (settings.default_model or "").partition("/")
    if prefix in named and prefix not in ollamas and model not in named[prefix]:
        named[prefix].append(model)
    return named


def _catalog(
    settings: Settings,
    logger: Logger,
    extra: tuple[Backend, ...] = (),
    agents: Mapping[str, Agent] = MappingProxyType({}),
) -> Catalog:
    return Catalog(
        [*backends(settings, logger, agents), *extra],
        logger=logger,
        default=settings.default_model,
        named=named_models(settings),
        contexts={server.name: server.context for server in settings.servers if server.context},
    )


@asynccontextmanager
async def opened_catalog(settings: Settings) -> AsyncIterator[Catalog]:
    """Yield the catalogue of the configured model servers by itself, without a server. No model is started."""
    catalog = _catalog(settings, structlog.get_logger())
    try:
        yield catalog
    finally:
        await catalog.aclose()


def answers(settings: Settings) -> dict[str, int]:
    """Return how many answers a model server gives at once, by its name. Others take any number of prompts."""
    limited = {server.name: server.answers for server in settings.servers if server.answers is not None}
    return {**limited, EmbeddedBackend.name: SLOTS}


def secret(data_dir: Path, logger: Logger) -> bytes:
    """Return the secret that signs cookies; the first start creates it. Raises `StartupError`."""
    path = data_dir / SECRET_FILE
    with data_folder(data_dir, logger):
        try:
            return kept_secret(path)
        except UnsafeSecret as error:
            raise StartupError(str(error)) from error


@contextmanager
def data_folder(data_dir: Path, logger: Logger) -> Iterator[None]:
    """Create the folder unless it exists. Raises `StartupError`, also for an `OSError` of the block."""
    try:
        if not private_folder(data_dir):
            logger.warning("data_folder_open", path=str(data_dir), advice=f"chmod 700 {data_dir}")
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        advice = "Set TAILRACE_DATA_DIR to a writable folder."
        raise StartupError(f"cannot use the data folder {data_dir}: {reason}. {advice}") from error


def _guesses(settings: Settings, refusals: Refusals, logger: Logger) -> Guesses:
    """Return what counts wrong tokens. Raises `StartupError`."""
    own = GuessCounts()
    shared = settings.guesses_url or settings.redis_url
    name = "TAILRACE_GUESSES_URL" if settings.guesses_url else "TAILRACE_REDIS_URL"
    if not shared:
        return Guesses(refusals, own)
    if not find_spec("redis"):
        raise StartupError(f"{name} needs the Redis client: pip install 'tailrace[redis]'")
    from app.web.security.shared_counts import SharedCounts

    try:
        return Guesses(refusals, own, SharedCounts(shared, own, logger))
    except ValueError as error:
        raise StartupError(f"{name}: {error}") from error


@asynccontextmanager
async def _shared(settings: Settings, logger: Logger) -> AsyncIterator[Shared | None]:
    """Yield what a node of a cluster shares with the others; `None` for a single server. Raises `StartupError`."""
    if settings.redis_url is None:
        yield None
        return
    if not find_spec("hiredis"):
        raise StartupError("TAILRACE_REDIS_URL needs the Redis client: pip install 'tailrace[redis]'")
    if not (settings.database_url or "").startswith("postgresql://"):
        raise StartupError(
            "TAILRACE_REDIS_URL makes this server a node of a cluster, which needs one PostgreSQL for all. "
            "Set TAILRACE_DATABASE_URL to postgresql://…, or unset TAILRACE_REDIS_URL."
        )
    from app.nodes import starting

    with _node_errors(starting.NodeUnusable):
        async with starting.opened_shared(settings, logger) as shared:
            yield shared


@asynccontextmanager
async def _node(
    settings: Settings,
    shared: Shared | None,
    history: MemoryHistory | SqlHistory,
    registry: Registry,
    catalog: Catalog,
    logger: Logger,
) -> AsyncIterator[ClusterNode | None]:
    """Yield the node, if there is a cluster. Raises `StartupError`."""
    if shared is None or not isinstance(history, SqlHistory):
        yield None
        return
    from app.nodes import starting

    with _node_errors(starting.NodeUnusable):
        async with starting.opened_node(settings, shared, history, registry, catalog, logger) as node:
            yield node


@contextmanager
def _node_errors(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as error:
        raise StartupError(str(error)) from error


@asynccontextmanager
async def _history(
    settings: Settings, logger: Logger, fence: Fence | None = None
) -> AsyncIterator[MemoryHistory | SqlHistory]:
    """Open the history; close it at the end, after everything has been written. Raises `StartupError`."""
    try:
        async with opening.opened(
            settings.database_url,
            settings.data_dir,
            logger=logger,
            alone=True,
            limits=msgspec.convert(settings, StorageLimits, from_attributes=True),
            fence=fence,
            use=msgspec.convert(settings, UseLimits, from_attributes=True) if fence is not None else None,
        ) as history:
            yield history
    except DatabaseUnusable as error:
        raise StartupError(f"cannot open the history: {error}") from error


class Opened(NamedTuple):
    """The parts behind an application, with an open history. Nothing runs yet."""

    history: MemoryHistory | SqlHistory
    registry: Registry
    catalog: Catalog
    health: LoopHealth
    parts: Parts
    node: ClusterNode | None  # of a cluster


@asynccontextmanager
async def opened(
    settings: Settings,
    logger: Logger,
    *,
    extra: tuple[Backend, ...] = (),
    agents: Mapping[str, Agent] = MappingProxyType({}),
    now: Callable[[], float] = time.time,
) -> AsyncIterator[Opened]:
    """Yield the parts of a server. Raises `StartupError`.

    The caller starts and closes the catalogue, closes the registry, and enters the health.
    """
    # The history is closed after the other parts, because they write to it as they close; spans are sent last.
    async with (
        tracing.opened(os.environ, logger) as tracer,
        _shared(settings, logger) as shared,
        _history(settings, logger, shared.fence if shared is not None else None) as history,
    ):
        catalog = _catalog(settings, logger, extra, agents)
        lines = Lines(answers(settings), settings.line_limit)
        registry = Registry(
            history=history,
            bounds=bounds(settings),
            logger=logger,
            now=now,
            lines=lines,
            logs=shared,
            prepare=shared.prepare if shared is not None else None,
            own=shared.own if shared is not None else None,
        )
        health = LoopHealth(logger=logger, stacks=settings.log_level == "debug")
        viewers = ViewerMeasures()
        async with _node(settings, shared, history, registry, catalog, logger) as node:
            read_node = node.figures if node is not None else None
            figures = metrics.collectors(
                Sources(registry.statistics, viewers, history.load, catalog.health, health, read_node)
            )
            cluster = node.cluster if node is not None else None
            parts = Parts(
                registry, history, catalog, lambda: metrics.render(figures), viewers, tracer, cluster
            )
            yield Opened(history, registry, catalog, health, parts, node)


def limits(settings: Settings) -> Limits:
    """Return the limits on requests."""
    return Limits(
        max_prompt_bytes=settings.max_prompt_bytes,
        max_image_bytes=settings.max_image_bytes,
        max_answer_bytes=settings.max_answer_bytes,
        continuing=settings.continue_ != "off",
        owner_event_streams=settings.owner_event_streams,
    )


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    handler_cancellation: bool = True,
    extra: tuple[Backend, ...] = (),
    now: Callable[[], float] = time.time,
    sockets: Sequence[socket.socket] = (),
) -> AsyncIterator[Server]:
    """Run a server until the end of the block, then end every stream and close everything.

    `handler_cancellation` is aiohttp's: whether a handler is cancelled when its client disconnects. With it a
    disconnect of a viewer is noticed at once, without it within a fifth of a heartbeat; everything else is the same.
    `now` is the clock of the streams and of access tokens: seconds since the epoch.
    `sockets` are listening already, and replace the host and port of the settings.
    Raises `StartupError`.
    """
    logger: Logger = structlog.get_logger()
    own_secret = secret(settings.data_dir, logger) if settings.redis_url is None else b""
    refusals = Refusals(logger)
    guesses = _guesses(settings, refusals, logger)
    async with (
        opened(settings, logger, extra=extra, now=now) as inside,
        _gate(
            settings,
            inside.history.tokens,
            own_secret or await _common_secret(inside.history),
            guesses,
            logger,
            now,
        ) as gate,
    ):
        _, registry, catalog, health, parts, node = inside
        departure = registry if node is None else node.departure
        listening = [sock.getsockname()[0] for sock in sockets] or [settings.host]
        own_hosts = [host for host in listening if hosts.canonical(host)]
        app = create_application(
            parts=parts,
            gate=gate,
            limits=limits(settings),
            heartbeat=settings.heartbeat,
            allowed_hosts=(*own_hosts, *settings.allowed_hosts),
            allowed_origins=settings.allowed_origins,
            frame_ancestors=settings.frame_ancestors,
            base=settings.base_path.rstrip("/"),
            trusted_proxies=settings.trusted_proxies,
            guesses=guesses,
            refusals=refusals,
            logger=logger,
        )
        if node is not None:
            node.passed_on = lambda: app[NODES].forwarded
            node.address_trouble = lambda: app[NODES].own_address.trouble
        members = connections.Connections(
            limit=connections.descriptors(),
            # Without a sign-in everybody on this machine is a user.
            trusted=(*settings.trusted_proxies, *(() if gate.signs_in else connections.LOOPBACK)),
            logger=logger,
        )
        runner = Runner(
            app,
            members,
            access_log=None,
            logger=malformed_requests.logger(),
            handler_cancellation=handler_cancellation,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        async with AsyncExitStack() as closing:
            # Closed in reverse order. Each is closed even if the one before it fails or is cancelled.
            closing.push_async_callback(catalog.aclose)
            closing.push_async_callback(runner.cleanup)
            closing.push_async_callback(departure.close)
            await runner.setup()
            catalog.start()
            port = await (_take_over(runner, settings, sockets) if sockets else _listen(runner, settings))
            host = f"[{listening[0]}]" if ":" in listening[0] else listening[0]
            await closing.enter_async_context(health)
            if node is not None:
                await _join(node, settings, listening[0], port, logger)
                app[NODES].joined()
            if settings.continue_ == "auto":
                taking_up = AutoContinue(registry=registry, catalog=catalog, logger=logger)
                await closing.enter_async_context(
                    taking_up.running() if node is None else node.taking_up(registry, catalog)
                )
            yield Server(runner, registry, catalog, f"http://{host}:{port}", departure)


async def _common_secret(history: MemoryHistory | SqlHistory) -> bytes:
    """Return the secret that the nodes of a cluster sign cookies with. Raises `StartupError`."""
    from app.nodes import starting

    with _node_errors(starting.NodeUnusable):
        if not isinstance(history, SqlHistory):
            raise starting.NodeUnusable("a cluster needs PostgreSQL")
        return await starting.cookie_secret(history)


async def _join(node: ClusterNode, settings: Settings, host: str, port: int, logger: Logger) -> None:
    """Become a node that the others reach. Raises `StartupError`."""
    from app.nodes import addresses, starting

    url = await addresses.address_of(settings, host, port)
    if addresses.is_out_of_reach(settings, url):
        logger.warning("node_out_of_reach", url=url, advice="set TAILRACE_NODE_URL, or another TAILRACE_HOST")
    with _node_errors(starting.NodeUnusable):
        await node.join(url)


@asynccontextmanager
async def _gate(
    settings: Settings,
    store: TokenStore,
    cookie_secret: bytes,
    guesses: Guesses,
    logger: Logger,
    now: Callable[[], float],
) -> AsyncIterator[Gate]:
    """Yield what decides who is let in. Raises `StartupError`."""
    if settings.mode == "local":
        yield LocalGate()
    elif settings.mode == "proxy":
        yield ProxyGate(settings.proxy_user_header, settings.admins)
    else:
        opened = access.opened(
            settings.access_token, cookie_secret, store=store, guesses=guesses, logger=logger, now=now
        )
        try:
            async with opened as gate:
                yield gate
        except HistoryUnavailable as error:
            raise StartupError(f"cannot read the access tokens: {error}") from error


async def _listen(runner: web.AppRunner, settings: Settings) -> int:
    """Start to listen and return the port number. Raises `StartupError`."""
    site = web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG)
    try:
        await site.start()
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        reason = error.strerror or error
        advice = "Is another server using it? Set TAILRACE_PORT to choose another port."
        raise StartupError(f"cannot listen on {where}: {reason}. {advice}") from error
    address: Any = runner.addresses[0]
    return int(address[1])


async def _take_over(runner: web.AppRunner, settings: Settings, sockets: Sequence[socket.socket]) -> int:
    """Serve on listening sockets and return the first one's port. Raises `StartupError`."""
    for sock in sockets:
        host = sock.getsockname()[0]
        if settings.mode == "local" and not is_loopback(host):
            raise StartupError(
                f"the socket unit listens on {host}: this would expose the server to other machines without a "
                "token. Set TAILRACE_AUTH to tokens or proxy, or use ListenStream=127.0.0.1:8080"
            )
        await web.SockSite(runner, sock, backlog=BACKLOG).start()
    address: Any = runner.addresses[0]
    return int(address[1])


def serve(settings: Settings, watchdog: Watchdog) -> int:
    """Run the server until SIGINT or SIGTERM; return the exit code. Raises `StartupError`."""
    with ShutdownWatchdog() as last_resort, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, last_resort, watchdog))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory, or `None` where uvloop does not exist (Windows)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, last_resort: ShutdownWatchdog, watchdog: Watchdog) -> int:
    asked_to_stop, asked_twice = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (asked_twice if asked_to_stop.is_set() else asked_to_stop).set()

    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signal_number, stop)
    watchdog.listen()
    try:
        sockets = take_sockets(os.environ)
    except UnusableSocket as error:
        raise StartupError(str(error)) from error
    notifier = Notifier.take(os.environ)
    async with running(settings, sockets=sockets) as server, notifier.alive():
        print(f"Tailrace is serving on {server.url}{settings.base_path.rstrip('/')}", flush=True)
        notifier.tell(notifying.READY)
        # Objects loaded at start live as long as the process, so the garbage collector need not scan them again.
        gc.collect()
        gc.freeze()
        # A request makes hundreds of objects, few of them in cycles: looking at each 700 was 8 % of an exchange.
        gc.set_threshold(10_000, 20, 20)
        gc.enable()
        await asked_to_stop.wait()
        notifier.tell(notifying.STOPPING)
        if server.registry.statistics().active:
            print(
                f"Finishing answers, up to {settings.drain_timeout:g} s. Press Ctrl-C again to stop now.",
                flush=True,
            )
        await drain(server.departure, settings.drain_timeout, asked_twice, last_resort)
    return 0
