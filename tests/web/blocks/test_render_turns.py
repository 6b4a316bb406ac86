"""Long work of one session never delays that of another by more than a turn."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest

from app.markdown.steps import Steps
from app.web.blocks import render_turns
from app.web.blocks.render_turns import THREADS, Turns
from app.web.blocks.renderer import Renderer
from tests.support.waiting import until

SLOW = "*a **b `c` [d](e) ~~f~~ " * 300 + "\n\n"


@pytest.fixture
async def shared() -> AsyncIterator[Turns]:
    shared = Turns()
    yield shared
    shared.close()


def job(name: str, steps: int, log: list[str], *, seconds: float = 0.0) -> Steps[str]:
    for _ in range(steps):
        log.append(name)
        begun = time.thread_time()
        while time.thread_time() - begun < seconds:
            pass
        yield
    return name


async def test_owners_take_turns(shared: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short job of another waits for one slice of each, not for all that somebody has asked for."""
    monkeypatch.setattr(render_turns, "SLICE", 0.0)
    log: list[str] = []
    hostile = [
        asyncio.create_task(shared.run(f"hostile {number % THREADS}", job("hostile", 50, log, seconds=0.001)))
        for number in range(20)
    ]
    await asyncio.sleep(0)
    assert await shared.run("ordinary", job("ordinary", 2, log)) == "ordinary"
    assert "ordinary" in log
    assert log.index("ordinary") <= 2 * THREADS
    assert not any(task.done() for task in hostile)
    shared.close()
    assert await asyncio.gather(*hostile, return_exceptions=True)


async def test_jobs_of_one_owner_run_in_their_order(shared: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, and each has its result."""
    monkeypatch.setattr(render_turns, "SLICE", 0.0)
    log: list[str] = []
    results = await asyncio.gather(*(shared.run("one", job(name, 3, log)) for name in "abc"))
    assert results == ["a", "b", "c"]
    assert log == list("aaabbbccc")


async def test_who_leaves_and_what_fails(shared: Turns) -> None:
    """A job whose caller has left ends; one that fails raises where it is waited for; the next is done."""
    log: list[str] = []
    begun = threading.Event()

    def endless() -> Steps[None]:
        while True:
            begun.set()
            yield

    def broken() -> Steps[None]:
        yield
        raise RuntimeError("broken")

    leaving = asyncio.create_task(shared.run("one", endless()))
    await asyncio.to_thread(begun.wait, 10)
    leaving.cancel()
    with pytest.raises(RuntimeError, match="broken"):
        await shared.run("one", broken())
    assert await shared.run("one", job("after", 1, log)) == "after"


async def test_closing_ends_what_waits_and_what_runs(shared: Turns) -> None:
    """Nobody waits for ever."""
    begun: set[int] = set()

    def endless(number: int) -> Steps[None]:
        while True:
            begun.add(number)
            yield

    waiting = [asyncio.create_task(shared.run(number, endless(number))) for number in range(2 * THREADS)]
    await until(lambda: begun)
    shared.close()
    done, _ = await asyncio.wait(waiting, timeout=10)
    assert len(done) == len(waiting)
    assert all(task.cancelled() for task in waiting)
    with pytest.raises(RuntimeError):
        await shared.run("late", endless(0))


async def test_many_answers_of_one_session_hold_up_nobody() -> None:
    """An ordinary answer is rendered long before all of the slow ones, whose blocks are cut and made in slices."""
    rendering = Renderer()
    slow = [
        asyncio.create_task(rendering.document(SLOW * 20 + str(number), "hostile")) for number in range(8)
    ]
    await asyncio.sleep(0)
    text = "\n\n".join(["Some words and `code` here."] * 200)
    assert len((await rendering.document(text, "ordinary")).blocks) == 200
    assert sum(task.done() for task in slow) <= 2
    await asyncio.gather(*slow)
    rendering.close()
