"""An event with one waiter behaves like asyncio's."""

from __future__ import annotations

import asyncio

import pytest

from app.tasks.wake import Wake


async def test_it_wakes_who_waits_and_who_comes_later() -> None:
    """Until it is cleared. Setting it twice is setting it once."""
    wake = Wake()
    waiting = asyncio.create_task(wake.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    wake.set()
    wake.set()
    await waiting
    await wake.wait()
    wake.clear()
    waiting = asyncio.create_task(wake.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    wake.set()
    wake.clear()  # who was woken is not put back to sleep
    await waiting


async def test_a_cancelled_waiter_is_forgotten() -> None:
    """The cancellation reaches it, also if the event was set in the same step, and the next one can wait."""
    wake = Wake()
    waiting = asyncio.create_task(wake.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    wake.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    wake.clear()
    waiting = asyncio.create_task(wake.wait())
    await asyncio.sleep(0)
    wake.set()
    await waiting
