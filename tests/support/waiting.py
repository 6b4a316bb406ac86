"""Waiting for what comes without a signal: asked again and again, with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psutil

BOUND = 10.0  # seconds, for whatever has to happen soon


async def until(condition: Callable[[], object], *, within: float = BOUND) -> None:
    """Return once `condition()` is true. Raises `TimeoutError` after `within` seconds."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.002)


async def until_told(question: Callable[[], Awaitable[bool]], *, within: float = BOUND) -> None:
    """The same, where the condition has to be asked of somebody else."""
    async with asyncio.timeout(within):
        while not await question():
            await asyncio.sleep(0.02)  # each question is work for the other side


async def gone(pid: int) -> None:
    """Return once no such process runs, or only its exit code is left of it. Raises `TimeoutError`."""
    await until(lambda: not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
