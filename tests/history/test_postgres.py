"""The history on PostgreSQL: what it costs to ask it, and connections that end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from sqlalchemy import Connection, text
from yarl import URL

from app.chat.message_range import MessageRange
from app.chat.records import Admission, History
from app.history.opening import opened
from app.history.postgres import PostgresDatabase
from tests.doubles.tcp_proxy import TcpProxy
from tests.history.samples import OWNER, ended, exchange
from tests.support.postgres import Postgres, ask
from tests.support.recorder import Recorder
from tests.support.waiting import until_told

pytestmark = pytest.mark.slow
ENDED = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Distant(NamedTuple):
    """A history whose database is on the other side of a network."""

    history: History
    network: TcpProxy
    url: str  # of the database, past the network

    async def trips(self, asking: Callable[[], Awaitable[object]]) -> int:
        """Return how many round trips something takes, once its statements are known to the connection."""
        before = 0
        for _ in range(20):
            before = self.network.sent
            await asking()
        return self.network.sent - before

    async def use_several(self) -> None:
        """Use several connections at the same time."""
        asked = self.history
        await asyncio.gather(asked.session(OWNER, "s"), asked.sessions(OWNER), asked.usage(OWNER))


@pytest.fixture
async def distant(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Distant]:
    """One with a session."""
    async with reached(await postgres.database(), tmp_path) as history:
        await history.history.admit(exchange())
        yield history


@asynccontextmanager
async def reached(url: str, folder: Path) -> AsyncIterator[Distant]:
    """Open it over a proxy."""
    address = URL(url)
    async with TcpProxy(f"{address.query['host']}/.s.PGSQL.5432").serving() as network:
        away = address.with_host("127.0.0.1").with_port(network.port).with_query(None)
        async with opened(str(away), folder, logger=Recorder()) as history:
            yield Distant(history, network, url)


async def test_what_a_read_costs(distant: Distant) -> None:
    """A round trip for each statement: a transaction, and a ping, would be five more."""
    history = distant.history
    assert await distant.trips(lambda: history.session(OWNER, "s")) == 1
    assert await distant.trips(lambda: history.sessions(OWNER)) == 1
    assert await distant.trips(lambda: history.excerpt(OWNER, "s", None, MessageRange())) == 3


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 100])
async def test_connections_that_have_ended(distant: Distant, turns: int) -> None:
    """They are replaced, whether or not the node knows it already: nobody is refused, and nothing is written twice."""
    history, asked = distant.history, exchange("t")
    await distant.use_several()
    distant.network.drop()
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.gather(distant.use_several(), history.admit(asked))
    distant.network.drop()
    for _ in range(turns):
        await asyncio.sleep(0)
    await history.finish(ended(asked), "", "")
    await history.admit(exchange("u"))
    sessions = "SELECT string_agg(session_id, '' ORDER BY session_id) FROM sessions"
    assert await ask(distant.url, sessions) == "stu"
    assert await ask(distant.url, "SELECT count(*) FROM messages") == 6


async def test_connections_that_postgresql_ends(distant: Distant) -> None:
    """As when it restarts: likewise."""
    history = distant.history
    await distant.use_several()
    assert await ask(distant.url, ENDED) > 1
    await asyncio.gather(distant.use_several(), history.admit(exchange("t")))
    assert (await history.session(OWNER, "t")).session_id == "t"


async def test_a_connection_that_is_known_to_have_ended_is_not_tried(postgres: Postgres) -> None:
    """So that two of them in a row refuse nothing, however the first one fails."""
    url = await postgres.database()
    async with PostgresDatabase.opened(url, logger=Recorder()) as database:
        tries: list[Connection] = []

        def work(connection: Connection) -> int:
            tries.append(connection)
            return connection.scalar(text("SELECT pg_backend_pid()")) or 0

        first = await database.write(work)
        assert await ask(url, ENDED) > 1
        await until_told(partial(is_gone, url, first), within=10)
        assert await database.write(work) != first
        assert len(tries) == 2


async def test_a_value_that_no_database_stores(distant: Distant) -> None:
    """It is its own change's fault: the others of the batch are written, and nobody is told to try again."""
    bad = exchange("t")
    bad = msgspec.structs.replace(bad, answer=msgspec.structs.replace(bad.answer, message_id="a\0b"))
    good = [exchange(f"good-{number}") for number in range(4)]
    written = await asyncio.gather(
        *map(distant.history.admit, [*good[:2], bad, *good[2:]]), return_exceptions=True
    )
    assert "couldn't save this" in str(written.pop(2))
    assert all(isinstance(each, Admission) for each in written)


async def is_gone(url: str, pid: int) -> bool:
    """Return whether a connection of PostgreSQL has ended."""
    return not await ask(url, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid)
