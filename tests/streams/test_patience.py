"""The timeout that costs nothing per token."""

from __future__ import annotations

import asyncio

from app.streams.patience import Patience


async def test_it_expires_once_nothing_comes() -> None:
    """Without food it calls, once."""
    expired = asyncio.Event()
    Patience(0.01, expired.set)
    async with asyncio.timeout(5):
        await expired.wait()


async def test_feeding_puts_it_off() -> None:
    """It expires no earlier than its seconds after the last feeding."""
    loop = asyncio.get_running_loop()
    expired: asyncio.Future[float] = loop.create_future()
    patience = Patience(0.05, lambda: expired.set_result(loop.time()))
    for _ in range(5):
        await asyncio.sleep(0.02)
        patience.feed()
    fed = loop.time()
    async with asyncio.timeout(5):
        assert await expired >= fed + 0.049


async def test_a_stopped_one_never_calls() -> None:
    """After `stop` there is no timer left."""
    calls: list[str] = []
    patience = Patience(0.01, lambda: calls.append("stopped"))
    patience.stop()
    later = asyncio.Event()
    Patience(0.03, later.set)
    await later.wait()
    assert calls == []


async def test_restarting_changes_limit_and_callback() -> None:
    """The first limit and its callback are forgotten."""
    calls: list[str] = []
    done = asyncio.Event()
    patience = Patience(0.01, lambda: calls.append("first"))
    patience.restart(0.02, done.set)
    await done.wait()
    assert calls == []
