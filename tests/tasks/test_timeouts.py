"""A bounded wait ends at its bound with `TimeoutError`, in whichever task it runs and whatever it waits for."""

from __future__ import annotations

import asyncio
import gc

import pytest

from app.tasks.timeouts import GRACE, within

LONG = 60.0  # s; nothing here waits that long


async def never() -> None:
    """Wait for nothing that comes."""
    await asyncio.Event().wait()


async def deaf(free: asyncio.Event) -> None:
    """Swallow every cancellation until `free` is set."""
    while not free.is_set():
        try:
            await free.wait()
        except asyncio.CancelledError:
            continue


async def test_it_returns_and_raises_what_the_coroutine_does() -> None:
    """Results and errors pass as they are."""

    async def fails() -> None:
        raise LookupError("here")

    assert await within(LONG, asyncio.sleep(0, "done")) == "done"
    with pytest.raises(LookupError, match="here"):
        await within(LONG, fails())


async def test_in_a_task_that_was_cancelled_before_the_bound_is_a_timeout() -> None:
    """`asyncio.timeout` raises `CancelledError` there on CPython 3.11.2, so that the clean-up counted as done."""
    begun = asyncio.Event()
    outcomes: list[type[BaseException]] = []

    async def cleans_up() -> None:
        try:
            begun.set()
            await never()
        finally:
            try:
                await within(0.01, never())
            except BaseException as outcome:  # noqa: BLE001 - it is the result
                outcomes.append(type(outcome))

    task = asyncio.create_task(cleans_up())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcomes == [TimeoutError]


async def test_it_returns_at_its_bound_from_what_swallows_cancellation() -> None:
    """The bound is the caller's, whatever the other does; it is not lost either, but ends when it will."""
    free = asyncio.Event()
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        await within(0.01, deaf(free))
    assert loop.time() - began < LONG / 2
    left = [task for task in asyncio.all_tasks() if task.get_name().startswith("within")]
    assert len(left) == 1
    free.set()
    await asyncio.wait(left, timeout=LONG)
    assert left[0].done()


async def test_a_caller_that_is_cancelled_takes_it_along() -> None:
    """Nothing goes on for nobody, and the caller sees it end if it ends within the grace."""
    steps: list[str] = []
    begun = asyncio.Event()

    async def tidy() -> None:
        try:
            begun.set()
            await never()
        finally:
            await asyncio.sleep(GRACE / 100)
            steps.append("tidied")

    task = asyncio.create_task(within(LONG, tidy()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["tidied"]


async def test_an_error_after_the_bound_is_nobodys(caplog: pytest.LogCaptureFixture) -> None:
    """It came too late for the caller, and is no defect that the loop should report."""

    async def fails_late() -> None:
        try:
            await never()
        finally:
            raise LookupError("late")

    with pytest.raises(TimeoutError):
        await within(0.01, fails_late())
    assert caplog.records == []


async def test_an_error_in_the_turn_of_a_cancellation_is_looked_at() -> None:
    """The caller is cancelled while what it waits for fails: the loop has nothing to complain about."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    failed = asyncio.Event()

    async def fail() -> None:
        await failed.wait()
        raise ConnectionError("Connection lost")

    waiting = asyncio.create_task(within(5, fail()))
    for _ in range(3):
        await asyncio.sleep(0)
    failed.set()
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    del waiting
    gc.collect()
    assert complaints == []
