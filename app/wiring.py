"""The only module that knows every layer: builds the parts from the settings, runs the server, and shuts it down."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from app import hosts
from app.backends.catalog import Catalog
from app.backends.embedded.backend import EmbeddedBackend
from app.backends.ollama.backend import MAX_CONTEXT, OllamaBackend
from app.backends.openai.backend import OpenAIBackend
from app.backends.scripted.backend import ScriptedBackend
from app.chat.ports import Backend, Logger
from app.chat.records import History
from app.config.servers import ModelServer
from app.config.settings import Settings
from app.history import opening
from app.history.errors import DatabaseUnusable
from app.secret import kept_secret
from app.shutdown import ShutdownWatchdog, drain
from app.streams.auto_continue import AutoContinue
from app.streams.bounds import Bounds
from app.streams.registry import Registry
from app.telemetry import metrics
from app.telemetry.loop_health import LoopHealth
from app.watchdog import Watchdog
from app.web.application import create_application
from app.web.limits import Limits
from app.web.security import malformed_requests
from app.web.security.access import Access

SECRET_FILE = "secret.key"
# aiohttp's own wait for open connections at shutdown; by then every event stream has been closed.
SHUTDOWN_SECONDS = 0.25
# Connections that may wait to be accepted. Beyond it the kernel drops them, and a client retries a second later.
BACKLOG = 2048


class StartupError(Exception):
    """The server cannot start. The message says why, and what to do about it."""


class Server:
    """The parts of a running server."""

    def __init__(self, runner: web.AppRunner, registry: Registry, catalog: Catalog, url: str) -> None:
        self.runner = runner
        self.registry = registry
        self.catalog = catalog
        self.url = url

    def __repr__(self) -> str:
        return f"<Server {self.url} {self.registry!r}>"

    def backend(self, name: str) -> Backend:
        """Return the backend with this prefix. Raises `KeyError`."""
        return {backend.name: backend for backend in self.catalog.backends}[name]


def bounds(settings: Settings) -> Bounds:
    """Return the bounds of the core, from the settings."""
    return Bounds(
        supersede_timeout=settings.supersede_timeout,
        viewer_grace=settings.viewer_grace,
        first_token_timeout=settings.first_token_timeout,
        quiet_timeout=settings.quiet_timeout,
        token_timeout=settings.token_timeout,
        max_streams=settings.max_streams,
        queue_limit=settings.queue_limit,
        max_answer_bytes=settings.max_answer_bytes,
        context_tokens=settings.context_tokens,
        log_tokens=settings.log_level == "debug",
        log_bytes=settings.log_bytes,
        log_seconds=settings.log_seconds,
    )


def backends(settings: Settings, logger: Logger) -> list[Backend]:
    """Return the configured backends. The order decides which one provides the default model."""
    chosen: list[Backend] = []
    if settings.openai_url:
        chosen.append(OpenAIBackend(settings.openai_url, api_key=settings.openai_api_key, logger=logger))
    chosen.extend(_backend(server, logger) for server in settings.servers)
    if settings.ollama_url:
        chosen.append(OllamaBackend(settings.ollama_url, logger=logger))
    if settings.embedded:
        chosen.append(EmbeddedBackend(logger=logger))
    if settings.scripted:
        chosen.append(ScriptedBackend())
    return chosen


def _backend(server: ModelServer, logger: Logger) -> Backend:
    if server.api == "ollama":
        bound = server.context or MAX_CONTEXT
        return OllamaBackend(
            server.url,
            name=server.name,
            api_key=server.key,
            headers=server.headers,
            max_context=bound,
            logger=logger,
        )
    return OpenAIBackend(
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


def secret(data_dir: Path) -> bytes:
    """Return the secret that signs cookies; the first start creates it. Raises `StartupError`."""
    path = data_dir / SECRET_FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        return kept_secret(path)
    except OSError as error:
        reason = error.strerror or str(error)
        advice = "Set TAILRACE_DATA_DIR to a writable folder."
        raise StartupError(f"cannot use the data folder {data_dir}: {reason}. {advice}") from error


@asynccontextmanager
async def _history(settings: Settings, logger: Logger) -> AsyncIterator[History]:
    """Open the history; close it at the end, after everything has been written. Raises `StartupError`."""
    try:
        async with opening.opened(
            settings.database_url, settings.data_dir, logger=logger, alone=True
        ) as history:
            yield history
    except DatabaseUnusable as error:
        raise StartupError(f"cannot open the history: {error}") from error


@asynccontextmanager
async def running(
    settings: Settings, *, handler_cancellation: bool = True, extra: tuple[Backend, ...] = ()
) -> AsyncIterator[Server]:
    """Run a server until the end of the block, then end every stream and close everything.

    `handler_cancellation` is aiohttp's: whether a handler is cancelled when its client disconnects. With it a
    disconnect of a viewer is noticed at once, without it within a second; everything else is the same.
    Raises `StartupError`.
    """
    logger: Logger = structlog.get_logger()
    cookie_secret = secret(settings.data_dir)
    # The history is closed last, because the other parts write to it as they close.
    async with _history(settings, logger) as history:
        catalog = Catalog(
            [*backends(settings, logger), *extra],
            logger=logger,
            default=settings.default_model,
            named=named_models(settings),
            contexts={server.name: server.context for server in settings.servers if server.context},
        )
        registry = Registry(history=history, bounds=bounds(settings), logger=logger)
        health = LoopHealth(logger=logger, stacks=settings.log_level == "debug")
        figures = metrics.collectors(registry.statistics, health)
        own_host = (settings.host,) if hosts.canonical(settings.host) else ()
        app = create_application(
            registry=registry,
            history=history,
            catalog=catalog,
            gate=Access(settings.access_token, cookie_secret),
            limits=Limits(
                max_prompt_bytes=settings.max_prompt_bytes,
                max_image_bytes=settings.max_image_bytes,
                continuing=settings.continue_ != "off",
            ),
            heartbeat=settings.heartbeat,
            allowed_hosts=(*own_host, *settings.allowed_hosts),
            base=settings.base_path.rstrip("/"),
            metrics=lambda: metrics.render(figures),
            logger=logger,
        )
        runner = malformed_requests.Runner(
            app,
            access_log=None,
            logger=malformed_requests.logger(),
            handler_cancellation=handler_cancellation,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        async with AsyncExitStack() as closing:
            # Closed in reverse order. Each is closed even if the one before it fails or is cancelled.
            closing.push_async_callback(catalog.aclose)
            closing.push_async_callback(runner.cleanup)
            closing.push_async_callback(registry.close)
            await runner.setup()
            catalog.start()
            port = await _listen(runner, settings)
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            await closing.enter_async_context(health)
            if settings.continue_ == "auto":
                taking_up = AutoContinue(registry=registry, catalog=catalog, logger=logger)
                await closing.enter_async_context(taking_up.running())
            yield Server(runner, registry, catalog, f"http://{host}:{port}")


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
    async with running(settings) as server:
        print(f"Tailrace is serving on {server.url}{settings.base_path.rstrip('/')}", flush=True)
        # Objects loaded at start live as long as the process, so the garbage collector need not scan them again.
        gc.collect()
        gc.freeze()
        await asked_to_stop.wait()
        if server.registry.statistics().active:
            print(
                f"Finishing answers, up to {settings.drain_timeout:g} s. Press Ctrl-C again to stop now.",
                flush=True,
            )
        await drain(server.registry, settings.drain_timeout, asked_twice, last_resort)
    return 0
