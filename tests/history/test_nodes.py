"""Several processes on one PostgreSQL: each ends only what the dead have left, and one of them is the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.history import postgres
from app.history.errors import DatabaseUnusable
from app.history.opening import opened
from app.history.postgres import PostgresDatabase
from app.history.sql import SqlHistory
from app.streams.states import Outcome
from tests.history.postgres import Postgres
from tests.history.recorder import Recorder
from tests.history.samples import OWNER, ended, exchange


async def test_a_start_leaves_the_streams_of_living_servers_alone(server: Postgres, tmp_path: Path) -> None:
    """What another server is writing goes on, and is read here when that has finished it."""
    url = await server.database()
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


async def test_a_start_ends_the_streams_of_dead_servers(server: Postgres, tmp_path: Path) -> None:
    """Their sign of life has gone with their connections."""
    url = await server.database()
    async with opened(url, tmp_path, logger=Recorder()) as writing:
        asked = exchange()
        await writing.admit(asked)
        writing.follow(asked.stream.stream_id, ["so", " far"], [])
    logger = Recorder()
    async with opened(url, tmp_path, logger=logger) as reading:
        assert logger.lines == [("history_recovered", {"interrupted": 1})]
        answer = (await reading.messages(OWNER, "s"))[1]
        assert (answer.content, answer.outcome, answer.tokens) == ("so far", Outcome.INTERRUPTED, 2)


async def test_a_lost_sign_of_life_is_given_again(server: Postgres, tmp_path: Path) -> None:
    """A server that lost that one connection is not taken for dead for long."""
    url = await server.database()
    async with PostgresDatabase.opened(url) as database, SqlHistory.on(database, Recorder()) as writing:
        asked = exchange()
        await writing.admit(asked)
        assert database._sign is not None
        database._sign.terminate()
        await database.tend()
        logger = Recorder()
        async with opened(url, tmp_path, logger=logger):
            assert logger.events == []


async def test_a_second_server_is_refused(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sentence that says what to do, once it has waited; it may start as soon as the first is gone."""
    monkeypatch.setattr(postgres, "TAKEOVER_SECONDS", 0.3)
    url = await server.database()
    async with opened(url, tmp_path, logger=Recorder(), alone=True):
        with pytest.raises(DatabaseUnusable, match=r"another Tailrace server .* TAILRACE_DATABASE_URL"):
            async with opened(url, tmp_path, logger=Recorder(), alone=True):
                pass
    async with opened(url, tmp_path, logger=Recorder(), alone=True):
        pass
