"""Programs of this project in processes of their own: each ends with its block, and with whoever started it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import psutil

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 30.0
END_SECONDS = 15.0
ORPHAN_SECONDS = 60.0  # a model may have to be loaded


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with these settings, in capitals and unprefixed, and no others."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    return env | {f"TAILRACE_{name}": value for name, value in settings.items()}


def end(process: subprocess.Popen[Any], within: float) -> None:
    """End a process: politely first, and for good after some seconds."""
    process.terminate()
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        process.kill()


class Process:
    """A running process that said where it serves."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.pid = process.pid
        self.url = url

    async def end(self) -> int:
        """Ask it to end and return its exit code; what does not end in time is killed."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(END_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()


async def orphan(program: str) -> int:
    """Run a program that prints `child` and a process id; return that id after `kill -9` of the program."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    try:
        async with asyncio.timeout(ORPHAN_SECONDS):
            while not (line := await parent.stdout.readline()).startswith(b"child"):
                assert line, "the parent ended"
        pid = int(line.split()[1])
        assert psutil.pid_exists(pid)
    finally:
        parent.kill()
        await parent.wait()
    return pid


@asynccontextmanager
async def running(
    module: list[str],
    environ: Mapping[str, str] | None = None,
    log: IO[bytes] | int | None = None,
    python: str = sys.executable,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python -m module` with its standard output in a pipe. It is killed at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        "tests.support.tied",
        *module,
        cwd=ROOT,
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def serving(
    module: list[str],
    environ: Mapping[str, str] | None = None,
    log: IO[bytes] | int | None = None,
    python: str = sys.executable,
) -> AsyncIterator[Process]:
    """The same for a server, once it has printed the line that ends with its address."""
    async with running(module, environ, log, python) as process:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            words = (await process.stdout.readline()).decode().split()
        if not words:
            raise RuntimeError(f"{' '.join(module)} did not start: exit code {await process.wait()}")
        yield Process(process, words[-1])
