"""The timeout that costs nothing per token."""

from __future__ import annotations

import asyncio

from app.tasks.idle_timer import IdleTimer


async def test_it_expires_once_nothing_comes() -> None:
    """Without food it calls, once."""
    expired: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    IdleTimer(0.01, expired.set_result)
    async with asyncio.timeout(5):
        assert await expired == 0.01


async def test_feeding_puts_it_off() -> None:
    """It expires no earlier than its seconds after the last feeding."""
    loop = asyncio.get_running_loop()
    expired: asyncio.Future[float] = loop.create_future()
    patience = IdleTimer(0.05, lambda _: expired.set_result(loop.time()))
    for _ in range(5):
        await asyncio.sleep(0.02)
        patience.feed()
    fed = loop.time()
    async with asyncio.timeout(5):
        assert await expired >= fed + 0.049


async def test_a_stopped_one_never_calls() -> None:
    """After `stop` there is no timer left."""
    calls: list[str] = []
    patience = IdleTimer(0.01, lambda _: calls.append("stopped"))
    patience.stop()
    later = asyncio.Event()
    IdleTimer(0.03, lambda _: later.set())
    await later.wait()
    assert calls == []


async def test_restarting_changes_limit_and_callback() -> None:
    """The first limit and its callback are forgotten."""
    calls: list[str] = []
    done = asyncio.Event()
    patience = IdleTimer(0.01, lambda _: calls.append("first"))
    patience.restart(0.02, lambda _: done.set())
    await done.wait()
    assert calls == []


async def test_signs_of_life_put_it_off() -> None:
    """Who is alive is waited for, though nothing was fed, and then silence counts from the last sign of life."""
    loop = asyncio.get_running_loop()
    expired: asyncio.Future[float] = loop.create_future()
    began = loop.time()
    patience = IdleTimer(0.02, expired.set_result, alive=lambda: min(loop.time(), began + 0.1))
    async with asyncio.timeout(5):
        assert await expired == 0.02
    assert loop.time() >= began + 0.119
    patience.stop()


async def test_life_without_a_word_has_its_bound_too() -> None:
    """Signs of life that never end are given up on after the longest time, counted from the last text."""
    loop = asyncio.get_running_loop()
    expired: asyncio.Future[float] = loop.create_future()
    patience = IdleTimer(0.02, expired.set_result, alive=loop.time, longest=0.1)
    await asyncio.sleep(0.06)
    patience.feed()
    fed = loop.time()
    async with asyncio.timeout(5):
        assert await expired == 0.1
    assert loop.time() >= fed + 0.099


async def test_food_does_not_put_it_off_for_ever() -> None:
    """`most` seconds after the restart it expires, however often it was fed, and says so by that limit."""
    loop = asyncio.get_running_loop()
    expired: asyncio.Future[float] = loop.create_future()
    patience = IdleTimer(0.02, lambda _: None)
    patience.restart(0.02, expired.set_result, most=0.06)
    async with asyncio.timeout(5):
        while not expired.done():
            patience.feed()
            await asyncio.sleep(0)
    assert await expired == 0.06
