"""Sessions that came to a node gather, and their answers are continued unless somebody stops them first."""

from __future__ import annotations

import asyncio
from collections.abc import Set

from app.cluster.continuing import RUNS, Continuing
from tests.support.waiting import until


class Tries:
    """The runs of a `Continuing`, and what they leave."""

    def __init__(self) -> None:
        self.runs: asyncio.Queue[Set[str]] = asyncio.Queue()
        self.away: set[str] = set()  # sessions whose model server does not answer

    async def run(self, sessions: Set[str]) -> Set[str]:
        """Continue all but those."""
        await self.runs.put(frozenset(sessions))
        return sessions & self.away


async def test_sessions_gather() -> None:
    """One run is for all that came in a short while."""
    tries = Tries()
    continuing = Continuing(tries.run)
    async with continuing.running():
        continuing.add("s1")
        continuing.add("s2")
        assert await tries.runs.get() == {"s1", "s2"}


async def test_one_that_is_forgotten_meanwhile() -> None:
    """Nothing runs for it alone."""
    tries = Tries()
    continuing = Continuing(tries.run)
    async with continuing.running():
        continuing.add("s1")
        continuing.add("s2")
        continuing.forget("s1")
        assert await tries.runs.get() == {"s2"}
        continuing.add("s1")
        continuing.forget("s1")
        await asyncio.sleep(0)
        continuing.add("s3")
        assert await tries.runs.get() == {"s3"}


async def test_one_that_is_forgotten_in_a_run() -> None:
    """The run sees it leave its set."""
    runs: asyncio.Queue[Set[str]] = asyncio.Queue()
    finish = asyncio.Event()

    async def run(sessions: Set[str]) -> Set[str]:
        await runs.put(sessions)
        await finish.wait()
        return set()

    continuing = Continuing(run)
    async with continuing.running():
        continuing.add("s1")
        continuing.add("s2")
        sessions = await runs.get()
        continuing.forget("s1")
        assert sessions == {"s2"}
        finish.set()


async def test_one_whose_model_server_is_away_is_tried_again() -> None:
    """After each pause, and then no more."""
    tries = Tries()
    tries.away = {"s1"}
    continuing = Continuing(tries.run, pauses=(0.0, 0.0))
    async with continuing.running():
        continuing.add("s1")
        continuing.add("s2")
        assert [await tries.runs.get() for _ in range(3)] == [{"s1", "s2"}, {"s1"}, {"s1"}]
        continuing.add("s3")
        assert await tries.runs.get() == {"s3"}


async def test_those_that_pause_hold_nobody_up() -> None:
    """However many of them there are."""
    tries = Tries()
    continuing = Continuing(tries.run, pauses=(1000.0,))
    async with continuing.running():
        for number in range(RUNS + 1):
            session = f"s{number}"
            tries.away.add(session)
            continuing.add(session)
            assert await tries.runs.get() == {session}
        continuing.add("here")
        assert await tries.runs.get() == {"here"}


async def test_one_that_is_forgotten_in_a_pause() -> None:
    """It is not tried again. One that comes anew is tried at once."""
    tries = Tries()
    tries.away = {"s1", "s2"}
    continuing = Continuing(tries.run, pauses=(1000.0,))
    async with continuing.running():
        continuing.add("s1")
        continuing.add("s2")
        assert await tries.runs.get() == {"s1", "s2"}
        await until(lambda: continuing.pausing == 2)
        continuing.forget("s1")
        assert continuing.pausing == 1
        continuing.add("s2")
        assert await tries.runs.get() == {"s2"}
