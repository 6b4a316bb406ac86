"""The processes of a soak: the server as an operator runs it, and the model server, which is killed now and then."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import IO

from tests.support.processes import Process, environment, serving

SETTINGS = {
    "PORT": "0",
    "EMBEDDED": "0",
    "SCRIPTED": "1",  # one of its models ignores a stop for a while
    "VIEWER_GRACE": "1",
    "FIRST_TOKEN_TIMEOUT": "3",
    "TOKEN_TIMEOUT": "2",
    "DRAIN_TIMEOUT": "1",
    "HEARTBEAT": "5",
    "LOG_BYTES": "262144",
    "LOG_SECONDS": "60",
    "LOG_FORMAT": "logfmt",
}


@asynccontextmanager
async def server(model_url: str, folder: Path, log: IO[bytes]) -> AsyncIterator[Process]:
    """Run the server with its log going to `log`. Ending it is the caller's; what is left is killed here."""
    settings = {**SETTINGS, "OLLAMA_URL": model_url, "DATA_DIR": str(folder)}
    async with serving(["app", "serve"], environment(settings), log) as process:
        yield process


class Model:
    """The model server: the same address through all of its lives."""

    def __init__(self, log: IO[bytes]) -> None:
        self._log = log
        self.url = ""
        self.up = False
        self.lives = 0
        self._life = AsyncExitStack()  # of the present process, also while it starts

    async def __aenter__(self) -> Model:
        await self._start("0")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._life.aclose()

    async def die_and_return(self, dice: random.Random, every: float) -> None:
        """Kill it again and again, after `every` seconds on the average, and start it after a moment. For ever."""
        while True:
            await asyncio.sleep(dice.uniform(0.5, 1.5) * every)
            self.up = False
            await self._life.aclose()
            await asyncio.sleep(dice.uniform(0.0, 1.5))
            await self._start(self.url.rpartition(":")[2])

    async def _start(self, port: str) -> None:
        life = serving(["tests.benchmarks.soak.model", port], log=self._log)
        self.url = (await self._life.enter_async_context(life)).url
        self.up = True
        self.lives += 1
