"""A real server for tests: a real `AppRunner` on a free port, in the test's own event loop."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from app.chat.ports import Backend
from app.config.settings import Settings
from app.shutdown import Closing
from app.streams.registry import Registry
from app.wiring.server import Server, running
from tests.doubles.scripted import ScriptedDouble
from tests.support.client import Client
from tests.support.fresh import lay_history


class LiveServer:
    """A running server, seen from outside (`url`, `client`) and from inside (`registry`, `scripted`)."""

    def __init__(self, server: Server, client: Client) -> None:
        self._server = server
        self.url = server.url
        self.client = client

    @property
    def registry(self) -> Registry:
        """The registry of the server."""
        return self._server.registry

    @property
    def buffered(self) -> list[int]:
        """How many bytes wait in this process for each client."""
        served = self._server.runner.server
        assert served is not None
        transports = [connection.transport for connection in served.connections]
        return [transport.get_write_buffer_size() for transport in transports if transport is not None]

    @property
    def departure(self) -> Closing:
        """What ends its answers."""
        return self._server.departure

    @property
    def app(self) -> web.Application:
        """The aiohttp application of the server."""
        return self._server.runner.app

    @property
    def scripted(self) -> ScriptedDouble:
        """The scripted backend of the server."""
        return cast("ScriptedDouble", self.backend("scripted"))

    def backend(self, name: str) -> Backend:
        """A backend by its name."""
        return self._server.backend(name)


@asynccontextmanager
async def serve(
    data_dir: Path,
    *,
    handler_cancellation: bool = True,
    extra: tuple[Backend, ...] = (),
    headers: dict[str, str] | None = None,
    now: Callable[[], float] = time.time,
    **settings: Any,
) -> AsyncIterator[LiveServer]:
    """Run a server with the scripted backend alone, unless `settings` say otherwise."""
    chosen = {
        "port": 0,
        "embedded": False,
        "scripted": True,
        "ollama_url": None,
        "data_dir": data_dir,
        **settings,
    }
    if chosen.get("database_url") is None:
        await lay_history(data_dir)
    if chosen.pop("scripted"):
        extra = (ScriptedDouble(), *extra)
    opened = running(Settings(**chosen), handler_cancellation=handler_cancellation, extra=extra, now=now)
    async with opened as server, Client(server.url, headers) as client:
        yield LiveServer(server, client)
