"""Runs the application with connections of ours. aiohttp has no public API to set their class."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from app.web.security.connection import READ_BUFFER, Connection
from app.web.security.connections import Connections

SCAN_SECONDS = 1.0  # between two scans
KEEP_ALIVE_SECONDS = 75.0  # that a connection may be idle; a proxy has to give up its own earlier


class Server(web.Server):
    """Makes the connections, and looks once a second at those whose client may take too long."""

    def __init__(self, *arguments: Any, members: Connections, **kwargs: Any) -> None:
        super().__init__(*arguments, **kwargs)
        self.members = members
        self._watched: dict[Connection, asyncio.Transport] = {}
        self._scanned = self._loop.time()
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(SCAN_SECONDS, self._scan)

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """See aiohttp."""
        super().connection_made(handler, transport)
        if isinstance(handler, Connection):
            self._watched[handler] = transport
            self.members.add(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """See aiohttp."""
        super().connection_lost(handler, exc)
        if isinstance(handler, Connection):
            self._watched.pop(handler, None)
            self.members.discard(handler)

    def watch(self, connection: Connection, transport: asyncio.Transport) -> None:
        """Look at the connection from the next scan on. Idempotent."""
        self._watched[connection] = transport

    async def shutdown(self, timeout: float | None = None) -> None:
        """See aiohttp."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await super().shutdown(timeout)

    def _scan(self) -> None:
        now = self._loop.time()
        # After a pause of the whole process nobody is to blame for it.
        elapsed = min(now - self._scanned, 2 * SCAN_SECONDS)
        self._scanned = now
        for connection, transport in tuple(self._watched.items()):
            if not connection.tick(elapsed, transport):
                self._watched.pop(connection, None)
        self._timer = self._loop.call_later(SCAN_SECONDS, self._scan)


class Runner(web.AppRunner):
    """Runs the application with `Connection`s."""

    __slots__ = ("_members",)

    def __init__(self, app: web.Application, members: Connections, **kwargs: Any) -> None:
        super().__init__(
            app,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=0.0,  # `Connection` does it in its own way
            read_bufsize=READ_BUFFER,
            auto_decompress=False,
            **kwargs,
        )
        self._members = members

    async def _make_server(self) -> web.Server:
        server: Any = await super()._make_server()
        return Server(
            server.request_handler,
            members=self._members,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,
            **server._kwargs,
        )
