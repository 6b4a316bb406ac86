"""The watch over blocked loops is itself watched."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from tests.support.blocking import LONGEST, watched


async def busy_here(seconds: float) -> None:
    """Use so much processor time in one step."""
    busy_now(seconds)


def busy_now(seconds: float) -> None:
    """Use so much processor time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_a_busy_step_is_found_and_named() -> None:
    """Too much processor time between two awaits is told, with the coroutine that took it."""
    with watched(own=True) as blocks:
        await asyncio.create_task(busy_here(1.2 * LONGEST))
    assert len(blocks.found) == 1
    assert "busy_here" in blocks.found[0]


async def test_the_work_of_tests_does_not_count() -> None:
    """What a task of theirs does is not the product's; what it calls later is."""
    with watched() as blocks:
        await asyncio.create_task(busy_here(1.2 * LONGEST))
        asyncio.get_running_loop().call_soon(busy_now, 1.2 * LONGEST)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(blocks.found) == 1
    assert "busy_now" in blocks.found[0]


async def test_a_wait_is_no_work() -> None:
    """A thread that was not running, because it slept or because the machine is busy, was not at fault."""
    with watched() as blocks:
        asyncio.get_running_loop().call_soon(time.sleep, 2 * LONGEST)
        await asyncio.sleep(3 * LONGEST)
    assert blocks.found == []


@pytest.mark.slow
async def test_collecting_garbage_does_not_count() -> None:
    """How long that takes depends on what else the process holds."""
    heap = [[number] for number in range(600_000)]
    with watched() as blocks:
        for _ in range(4):
            asyncio.get_running_loop().call_soon(gc.collect)
        await asyncio.sleep(LONGEST)
    assert blocks.found == []
    assert len(heap) == 600_000
