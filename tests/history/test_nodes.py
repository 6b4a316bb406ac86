"""Several processes on one PostgreSQL: each ends only what the dead have left, and one of them is the server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from app.chat.growing_text import GrowingText
from app.chat.states import Outcome
from app.history import sign
from app.history.errors import DatabaseUnusable
from app.history.opening import opened
from app.history.postgres import LET_GO, PostgresDatabase
from tests.history.samples import OWNER, ended, exchange
from tests.support.postgres import Postgres, ask
from tests.support.recorder import Recorder
from tests.support.waiting import until, until_told


async def test_a_start_leaves_the_streams_of_living_servers_alone(postgres: Postgres, tmp_path: Path) -> None:
    """What another server is writing goes on, and is read here when that has finished it."""
    url = await postgres.database()
    async with opened(url, tmp_path, logger=Recorder()) as writing:
        asked = exchange()
        await writing.admit(asked)
        logger = Recorder()
        async with opened(url, tmp_path, logger=logger) as reading:
            assert logger.events == []
            assert (await reading.stream(OWNER, asked.stream.stream_id)).outcome is None
            await writing.finish(ended(asked), "said", "")
            await writing.sessions(OWNER)  # returns when it is on disk
            assert (await reading.messages(OWNER, "s"))[1].content == "said"


async def test_a_start_ends_the_streams_of_dead_servers(postgres: Postgres, tmp_path: Path) -> None:
    """Their sign of life has gone with their connections."""
    url = await postgres.database()
    async with opened(url, tmp_path, logger=Recorder()) as writing:
        asked = exchange()
        await writing.admit(asked)
        writing.follow(asked.stream.stream_id, GrowingText(["so", " far"]), GrowingText())
    logger = Recorder()
    async with opened(url, tmp_path, logger=logger) as reading:
        assert logger.lines == [("history_recovered", {"interrupted": 1})]
        answer = (await reading.messages(OWNER, "s"))[1]
        assert (answer.content, answer.outcome, answer.tokens) == ("so far", Outcome.INTERRUPTED, 2)


def signs(logger: Recorder) -> list[str]:
    return [event for event in logger.events if event.startswith("history_sign")]


async def drop_sign(url: str) -> None:
    """End every connection that holds a lock of ours, as an operator or a proxy does."""
    await ask(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND pid <> pg_backend_pid()"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )


async def locks(url: str) -> int:
    """How many locks of ours are held in the database."""
    return int(
        await ask(
            url,
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
    )


async def waiting(url: str) -> None:
    """Return once somebody waits for a lock; bounded."""
    connection = await asyncpg.connect(url)
    try:
        await until_told(
            lambda: connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"), within=30
        )
    finally:
        await connection.close()


async def held(url: str, expected: int) -> None:
    """Return once so many locks are held; bounded."""

    async def are_held() -> bool:
        return await locks(url) == expected

    await until_told(are_held, within=30)


async def test_a_lost_sign_of_life_is_given_again(postgres: Postgres, tmp_path: Path) -> None:
    """Without any write: an idle server is not taken for dead for long."""
    url = await postgres.database()
    logger = Recorder()
    async with opened(url, tmp_path, logger=logger, alone=True) as writing:
        asked = exchange()
        await writing.admit(asked)
        for times in (1, 2):
            await drop_sign(url)
            told = ["history_sign_lost", "history_sign_given"] * times
            await until(lambda: signs(logger) == told, within=30)  # noqa: B023
            assert await locks(url) == 2
        other = Recorder()
        async with opened(url, tmp_path, logger=other):
            assert other.events == []
        assert (await writing.stream(OWNER, asked.stream.stream_id)).outcome is None
    await held(url, 0)


async def test_a_connection_that_died_in_silence_is_noticed(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks open, and nobody writes: PostgreSQL is asked from time to time."""
    monkeypatch.setattr(sign, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(sign, "ASK_LOOKS", 2)
    url = await postgres.database()
    connections: list[asyncpg.Connection] = []

    async def connect() -> asyncpg.Connection:
        connections.append(await asyncpg.connect(url, command_timeout=0.5))
        return connections[-1]

    life = sign.SignOfLife(connect, 4711)
    await life.give()
    [first] = connections
    first._transport.pause_reading()  # type: ignore[attr-defined]  # nothing comes through any more
    async with life.kept(Recorder()):
        await until(lambda: len(connections) > 1 and life.is_given, within=30)
        await held(url, 1)
    assert first.is_closed()
    await life.close()
    await held(url, 0)


async def test_who_comes_back_after_another_has_taken_over(postgres: Postgres, tmp_path: Path) -> None:
    """Says so, once, and does not take the database back while the other has it."""
    url = await postgres.database()
    logger = Recorder()
    async with opened(url, tmp_path, logger=logger, alone=True):
        connection = await asyncpg.connect(url)
        taking = asyncio.create_task(connection.execute("SELECT pg_advisory_lock($1)", sign.SERVER))
        await waiting(url)
        await drop_sign(url)
        await taking
        await until(lambda: "history_sign_not_given" in logger.events, within=30)
        assert "taken over" in dict(logger.lines)["history_sign_not_given"]["error"]
        await connection.close()
        await held(url, 2)
        await until(lambda: "history_sign_given" in logger.events, within=30)
    assert signs(logger) == ["history_sign_lost", "history_sign_not_given", "history_sign_given"]


async def test_a_second_server_is_refused(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sentence that says what to do, once it has waited; it may start as soon as the first is gone."""
    monkeypatch.setattr(sign, "TAKEOVER_SECONDS", 0.3)
    url = await postgres.database()
    async with opened(url, tmp_path, logger=Recorder(), alone=True):
        with pytest.raises(DatabaseUnusable, match=r"another Tailrace server .* TAILRACE_DATABASE_URL"):
            async with opened(url, tmp_path, logger=Recorder(), alone=True):
                pass
    async with opened(url, tmp_path, logger=Recorder(), alone=True):
        pass


@pytest.mark.parametrize(("how", "expected"), [("read", 1), ("write", 2)])
async def test_work_that_was_held_up(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, how: str, expected: int
) -> None:
    """PostgreSQL ends the connection of a node that does nothing in a transaction, so that no lock outlives it.

    The transaction is repeated. A read has none.
    """
    monkeypatch.setitem(LET_GO, "idle_in_transaction_session_timeout", "100")
    url, tries = await postgres.database(), 0

    def held_up(connection: Connection) -> object:
        nonlocal tries
        tries += 1
        connection.exec_driver_sql("SELECT 1")
        if tries == 1:
            await_only(asyncio.sleep(0.5))
        return connection.exec_driver_sql("SELECT 2").scalar()

    async with PostgresDatabase.opened(url, logger=Recorder(), shared=True) as database:
        work = database.read if how == "read" else database.write
        assert await work(held_up) == 2
    assert tries == expected
