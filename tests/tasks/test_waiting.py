"""`first_done` waits for futures as `asyncio.wait` does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.tasks.waiting import first_done
from tests.support.waiting import until


class Watched(asyncio.Future[None]):
    """A future that counts its callbacks."""

    callbacks = 0

    def add_done_callback(self, *arguments: Any, **options: Any) -> None:
        self.callbacks += 1
        super().add_done_callback(*arguments, **options)

    def remove_done_callback(self, callback: Callable[[Any], object], /) -> int:
        removed = super().remove_done_callback(callback)
        self.callbacks -= removed
        return removed


@pytest.fixture
async def futures() -> list[Watched]:
    """Two futures that are not done."""
    return [Watched(), Watched()]


async def test_it_returns_with_the_first_that_is_done(futures: list[Watched]) -> None:
    """The other one goes on, and keeps no callback."""
    waiting = asyncio.create_task(first_done(*futures))
    await asyncio.sleep(0)
    assert not waiting.done()
    futures[1].set_result(None)
    await waiting
    assert not futures[0].done()
    assert futures[0].callbacks == 0


async def test_what_is_done_is_not_waited_for(futures: list[Watched]) -> None:
    """The coroutine ends at its first step."""
    futures[1].set_result(None)
    with pytest.raises(StopIteration):
        first_done(*futures).send(None)


async def test_an_exception_is_left_in_its_future(futures: list[Watched]) -> None:
    """Neither an error nor a cancellation of what is waited for is raised."""
    waiting = asyncio.create_task(first_done(*futures))
    await asyncio.sleep(0)
    futures[0].set_exception(ValueError("broken"))
    await waiting
    assert isinstance(futures[0].exception(), ValueError)
    waiting = asyncio.create_task(first_done(futures[1]))
    await asyncio.sleep(0)
    futures[1].cancel()
    await waiting


async def test_it_ends_at_its_bound(futures: list[Watched]) -> None:
    """Nothing is done then, and nothing is cancelled."""
    await first_done(*futures, seconds=0.001)
    assert not any(future.done() for future in futures)


async def test_a_cancelled_wait_cancels_nothing(futures: list[Watched]) -> None:
    """The futures go on, without callbacks, and the timer is cancelled."""
    waiting = asyncio.create_task(first_done(*futures, seconds=0.001))
    await asyncio.sleep(0)
    waiting.cancel()
    await until(waiting.done)
    assert waiting.cancelled()
    assert not any(future.done() for future in futures)
    assert not any(future.callbacks for future in futures)
