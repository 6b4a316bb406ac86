"""A real server for tests: a real `AppRunner` on a free port, in the test's own event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from app import wiring
from app.backends.scripted.backend import ScriptedBackend
from app.chat.ports import Backend
from app.config.settings import Settings
from app.streams.registry import Registry
from tests.support.client import Client
from tests.support.fresh import lay_history


class LiveServer:
    """A running server, seen from outside (`url`, `client`) and from inside (`registry`, `scripted`)."""

    def __init__(self, server: wiring.Server, client: Client) -> None:
        self._server = server
        self.url = server.url
        self.client = client

    @property
    def registry(self) -> Registry:
        """The registry of the server."""
        return self._server.registry

    @property
    def app(self) -> web.Application:
        """The aiohttp application of the server."""
        return self._server.runner.app

    @property
    def scripted(self) -> ScriptedBackend:
        """The scripted backend of the server."""
        return cast("ScriptedBackend", self.backend("scripted"))

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
    running = wiring.running(Settings(**chosen), handler_cancellation=handler_cancellation, extra=extra)
    async with running as server, Client(server.url, headers) as client:
        yield LiveServer(server, client)
