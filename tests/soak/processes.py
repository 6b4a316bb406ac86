"""The processes of a soak: the server as an operator runs it, and the model server, which is killed now and then."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 30.0
END_SECONDS = 15.0

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


class Process:
    """A running process that said where it serves."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code; what does not end in time is killed."""
        if self._process.returncode is None:
            self._process.send_signal(how)
        try:
            async with asyncio.timeout(END_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()


async def start(module: list[str], environ: Mapping[str, str], log: IO[bytes]) -> Process:
    """Start `python -m module` and wait for the line that ends with its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *module,
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
    )
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        words = (await process.stdout.readline()).decode().split()
    if not words:
        raise RuntimeError(f"{' '.join(module)} did not start: exit code {await process.wait()}")
    return Process(process, words[-1])


@asynccontextmanager
async def server(model_url: str, folder: Path, log: IO[bytes]) -> AsyncIterator[Process]:
    """Run the server with its log going to `log`. Ending it is the caller's; what is left is ended here."""
    settings = {**SETTINGS, "OLLAMA_URL": model_url, "DATA_DIR": str(folder)}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    environ |= {f"TAILRACE_{name}": value for name, value in settings.items()}
    process = await start(["app", "serve"], environ, log)
    try:
        yield process
    finally:
        await process.end()


class Model:
    """The model server: the same address through all of its lives."""

    def __init__(self, log: IO[bytes]) -> None:
        self._log = log
        self.url = ""
        self.up = False
        self.lives = 0
        self._process: Process | None = None

    async def __aenter__(self) -> Model:
        await self._start("0")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await self._process.end(signal.SIGKILL)

    async def die_and_return(self, dice: random.Random, every: float) -> None:
        """Kill it again and again, after `every` seconds on the average, and start it after a moment. For ever."""
        while True:
            await asyncio.sleep(dice.uniform(0.5, 1.5) * every)
            assert self._process is not None
            self.up = False
            await self._process.end(signal.SIGKILL)
            await asyncio.sleep(dice.uniform(0.0, 1.5))
            await self._start(self.url.rpartition(":")[2])

    async def _start(self, port: str) -> None:
        self._process = await start(["tests.soak.model", port], os.environ, self._log)
        self.url = self._process.url
        self.up = True
        self.lives += 1
