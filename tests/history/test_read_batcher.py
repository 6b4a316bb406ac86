"""Reads that gather: a crowd that asks at one moment costs the database a few transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from app.chat.errors import HistoryUnavailable, SessionNotFound
from app.history.database import Work
from app.history.opening import FILE
from app.history.sql import SqlHistory
from app.history.sqlite import SqliteDatabase
from app.history.write_queue.read_batcher import LANES, TOGETHER, ReadBatcher
from tests.history.samples import OWNER, exchange
from tests.support.counted_reads import CountedReads
from tests.support.recorder import Recorder
from tests.support.waiting import until

CROWD = 1000
SESSIONS = 20


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CountedReads:
    """What counts the reads."""
    return CountedReads(monkeypatch)


@pytest.fixture
async def database(tmp_path: Path, counted: CountedReads) -> AsyncIterator[SqliteDatabase]:
    """A database whose reads are counted."""
    async with SqliteDatabase.opened(tmp_path / FILE) as database:
        yield database


async def test_a_crowd_costs_a_few_transactions(database: SqliteDatabase, counted: CountedReads) -> None:
    """A thousand at once, in twenty sessions: each session is read once, and all of them in a handful of goes."""
    async with SqlHistory.on(database, Recorder()) as history:
        for number in range(SESSIONS):
            await history.admit(exchange(f"s{number}", prompt=f"prompt {number}"))
        statements: list[object] = []
        event.listen(database.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
        counted.transactions = 0
        crowd = [history.conversation(OWNER, f"s{number % SESSIONS}") for number in range(CROWD)]
        found = await asyncio.gather(*crowd)
        assert counted.transactions <= LANES + SESSIONS // TOGETHER
        # The session, its messages and their pictures; BEGIN and ROLLBACK.
        assert len(statements) <= 3 * SESSIONS + 2 * counted.transactions
    assert [each.messages[0].content for each in found] == [f"prompt {n % SESSIONS}" for n in range(CROWD)]
    assert len({id(message) for each in found for message in each.messages}) == 2 * CROWD


async def test_the_database_is_asked_by_few_at_a_time(
    database: SqliteDatabase, counted: CountedReads
) -> None:
    """However many sessions are wanted, and however slow it is."""
    async with ReadBatcher.gathering(database) as reads:
        counted.free.clear()
        crowd = [
            asyncio.create_task(reads.read(number, lambda connection: connection.scalar(text("SELECT 1"))))
            for number in range(CROWD)
        ]
        await until(lambda: counted.transactions == LANES)
        await asyncio.sleep(0)
        assert counted.transactions == LANES
        counted.free.set()
        assert await asyncio.gather(*crowd) == [1] * CROWD
        assert counted.transactions <= CROWD / TOGETHER + LANES


async def test_a_read_begins_after_it_was_asked_for(database: SqliteDatabase, counted: CountedReads) -> None:
    """What is under way already may not know what was kept since: it is not shared."""
    begun: list[str] = []
    async with ReadBatcher.gathering(database) as reads:
        counted.free.clear()
        first = asyncio.create_task(reads.read("key", lambda _: begun.append("first")))
        await until(lambda: counted.transactions == 1)
        later = [asyncio.create_task(reads.read("key", lambda _: begun.append("later"))) for _ in range(3)]
        await asyncio.sleep(0)
        counted.free.set()
        await asyncio.gather(first, *later)
    assert sorted(begun) == ["first", "later"]  # two lanes, in whatever order


async def test_one_that_fails_takes_no_other_with_it(database: SqliteDatabase, counted: CountedReads) -> None:
    """Neither what is not there, nor what cannot be understood."""

    def missing(_: Connection) -> None:
        raise SessionNotFound("There is no such session.")

    works: dict[str, Work[object]] = {
        "missing": missing,
        "wrong": lambda _: int("nonsense"),
        "right": lambda connection: connection.scalar(text("SELECT 1")),
    }
    async with ReadBatcher.gathering(database) as reads:
        asked = [reads.read(key, work) for key, work in works.items()]
        found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in found] == [SessionNotFound, ValueError, int]


async def test_one_that_leaves_takes_no_other_with_it(
    database: SqliteDatabase, counted: CountedReads
) -> None:
    """A viewer that hangs up while it shares a read."""
    async with ReadBatcher.gathering(database) as reads:
        counted.free.clear()
        asked = [asyncio.create_task(reads.read("key", lambda _: "found")) for _ in range(3)]
        await until(lambda: counted.transactions == 1)
        asked[0].cancel()
        counted.free.set()
        assert await asyncio.gather(*asked[1:]) == ["found", "found"]


async def test_nobody_waits_for_a_history_that_is_closed(
    database: SqliteDatabase, counted: CountedReads
) -> None:
    """Who asked too late is told, or cancelled; no task is left."""
    before = asyncio.all_tasks()
    async with ReadBatcher.gathering(database) as reads:
        counted.free.clear()
        asked = [asyncio.create_task(reads.read(n, lambda _: None)) for n in range(TOGETHER * LANES + 1)]
        await until(lambda: counted.transactions == LANES)
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {HistoryUnavailable, asyncio.CancelledError}
    assert asyncio.all_tasks() == before


async def test_a_read_right_after_the_last_one_is_done(
    database: SqliteDatabase, counted: CountedReads
) -> None:
    """Whoever reads again as soon as all lanes are done gets a new one."""
    counted.free.clear()
    async with asyncio.timeout(10), ReadBatcher.gathering(database) as reads:

        async def twice() -> str:
            await reads.read("first", lambda _: None)
            return await reads.read("second", lambda _: "found")

        reader = asyncio.create_task(twice())
        await until(lambda: counted.transactions == 1)
        others = [asyncio.create_task(reads.read(number, lambda _: None)) for number in range(1, LANES)]
        await until(lambda: counted.transactions == LANES)
        counted.free.set()
        assert await reader == "found"
        await asyncio.gather(*others)
