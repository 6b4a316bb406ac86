"""Waiting for what comes without a signal: asked again and again, with a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psutil

T = TypeVar("T")

BOUND = 10.0  # seconds, for whatever has to happen soon
LOOK = 0.002  # seconds between two looks in this process
ASK = 0.02  # seconds between two questions to somebody else: each is work for the other side


async def until(condition: Callable[[], object], *, within: float = BOUND) -> None:
    """Return once `condition()` is true. Raises `TimeoutError` after `within` seconds."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(LOOK)


async def until_told(question: Callable[[], Awaitable[object]], *, within: float | None = BOUND) -> None:
    """The same, where the condition has to be asked of somebody else. Without a bound, for what a person ends."""
    async with asyncio.timeout(within):
        while not await question():
            await asyncio.sleep(ASK)


async def stays(condition: Callable[[], object], *, during: float) -> None:
    """Return after `during` seconds. Raises `AssertionError` as soon as `condition()` is false."""
    end = asyncio.get_running_loop().time() + during
    while asyncio.get_running_loop().time() < end:
        assert condition()
        await asyncio.sleep(LOOK)
    assert condition()


def found(look: Callable[[], T | None], *, within: float, what: str) -> T:
    """Return what `look` finds once that is not `None`. Blocks. Raises `RuntimeError` after `within` seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if (seen := look()) is not None:
            return seen
        time.sleep(ASK)
    raise RuntimeError(f"{what} after {within:g} s")


async def gone(pid: int) -> None:
    """Return once no such process runs, or only its exit code is left of it. Raises `TimeoutError`."""
    await until(lambda: not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
