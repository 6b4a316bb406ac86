"""The servers under measurement, each in processes of its own on one core."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Self

from tests.benchmarks.load.servers import peers
from tests.benchmarks.load.servers import target as names
from tests.benchmarks.load.servers.errors import MissingPeerError
from tests.benchmarks.load.servers.nginx import nginx
from tests.benchmarks.load.servers.pinning import pin
from tests.benchmarks.load.servers.target import Target
from tests.support.processes import environment, serving

Open = Callable[[str, int], AbstractAsyncContextManager[Target]]  # the model's address, and the core


@asynccontextmanager
async def tailrace(model_url: str, core: int, **settings: str) -> AsyncIterator[Target]:
    """Run this server as an operator does, with all of its features, in a folder of its own."""
    name = names.MEMORY if settings.get("DATABASE_URL") == "memory:" else names.TAILRACE
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        ours = {
            "PORT": "0",
            "DATA_DIR": folder,
            "OLLAMA_URL": model_url,
            "EMBEDDED": "0",
            "MAX_STREAMS": "5000",
            "DRAIN_TIMEOUT": "0.01",
        }
        async with on_core(name, ["app", "serve"], core, environment({**ours, **settings})) as target:
            yield target


def in_memory(model_url: str, core: int) -> AbstractAsyncContextManager[Target]:
    """Run this server with its history in memory."""
    return tailrace(model_url, core, DATABASE_URL="memory:")


def relay(model_url: str, core: int) -> AbstractAsyncContextManager[Target]:
    """Run the smallest relay."""
    return on_core(names.RELAY, ["tests.benchmarks.load.servers.relay", model_url], core)


@asynccontextmanager
async def fastapi(model_url: str, core: int) -> AsyncIterator[Target]:
    """Run the relay of FastAPI. Raises `MissingPeerError`."""
    module = ["tests.benchmarks.load.servers.fastapi_relay", model_url]
    async with on_core(names.FASTAPI, module, core, python=peers.python()) as target:
        yield target


@asynccontextmanager
async def on_core(
    name: str,
    module: list[str],
    core: int,
    environ: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> AsyncIterator[Target]:
    """Run a module that prints its address, on one core."""
    async with serving(module, environ, asyncio.subprocess.DEVNULL, python) as process:
        pin(process.pid, core)
        yield Target(name, process.url, process.pid)
        await process.end()


SERVERS: dict[str, Open] = {
    names.TAILRACE: tailrace,
    names.MEMORY: in_memory,
    names.RELAY: relay,
    names.NGINX: nginx,
    names.FASTAPI: fastapi,
}


class Servers:
    """The servers that scenarios share: started when first asked for, ended with the block."""

    def __init__(self, model_url: str, core: int) -> None:
        self.missing: dict[str, str] = {}  # the peers that cannot be run, or not always, each with the reason
        self._model_url = model_url
        self.core = core
        self._direct = Target(names.DIRECT, model_url, None)
        self._running: dict[str, tuple[Target, AsyncExitStack]] = {}

    def __repr__(self) -> str:
        return f"<Servers {list(self._running)}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self._running):
            await self.end(name)

    async def get(self, name: str) -> Target | None:
        """Return the server of this name, `None` if it is a peer that cannot be run here."""
        if name == names.DIRECT:
            return self._direct
        if name not in self._running:
            stack = AsyncExitStack()
            try:
                self._running[name] = await stack.enter_async_context(self.fresh(name)), stack
            except MissingPeerError as error:
                self.missing[name] = str(error)
                return None
        return self._running[name][0]

    async def end(self, name: str) -> None:
        """End a server; `get` starts it anew."""
        _, stack = self._running.pop(name)
        await stack.aclose()

    def fresh(self, name: str) -> AbstractAsyncContextManager[Target]:
        """Run a server that nobody has used, until the end of the block. Raises `MissingPeerError`."""
        return SERVERS[name](self._model_url, self.core)

    def tailrace(self, **settings: str) -> AbstractAsyncContextManager[Target]:
        """Run this server with settings, in capitals and unprefixed."""
        return tailrace(self._model_url, self.core, **settings)
