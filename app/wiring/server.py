"""A running server: the application on its listening sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiohttp import web

from app import hosts
from app.backends.catalog import Catalog
from app.chat.ports import Backend, Logger
from app.config.settings import Settings
from app.shutdown import Closing
from app.streams.auto_continue import AutoContinue
from app.streams.registry import Registry
from app.web.app_keys import NODES
from app.web.application import create_application
from app.web.security import connections, malformed_requests
from app.web.security.refusals import Refusals
from app.web.security.runner import Runner
from app.wiring.access import guesses_of, opened_gate
from app.wiring.data_folder import secret
from app.wiring.listening import listen, take_over
from app.wiring.node import common_secret, join
from app.wiring.parts import limits, opened

# aiohttp's own wait for open connections at shutdown; by then every event stream has been closed.
SHUTDOWN_SECONDS = 0.25


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
    guesses = guesses_of(settings, refusals, logger)
    async with (
        opened(settings, logger, extra=extra, now=now) as inside,
        opened_gate(
            settings,
            inside.history.tokens,
            own_secret or await common_secret(inside.history),
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
            port = await (take_over(runner, settings, sockets) if sockets else listen(runner, settings))
            host = f"[{listening[0]}]" if ":" in listening[0] else listening[0]
            await closing.enter_async_context(health)
            if node is not None:
                await join(node, settings, listening[0], port, logger)
                app[NODES].joined()
            if settings.continue_ == "auto":
                taking_up = AutoContinue(registry=registry, catalog=catalog, logger=logger)
                await closing.enter_async_context(
                    taking_up.running() if node is None else node.taking_up(registry, catalog)
                )
            yield Server(runner, registry, catalog, f"http://{host}:{port}", departure)
