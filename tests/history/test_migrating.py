"""Migrations: they bring a database to the tables of the code, once, whoever starts at the same time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from app.history.database import Database
from app.history.errors import DatabaseUnusable
from app.history.migration import NEWEST, SCRIPTS, migrate, revision
from app.history.opening import FILE
from app.history.postgres import PostgresDatabase
from app.history.sql import SqlHistory
from app.history.sqlite import SqliteDatabase
from app.history.statements.tables import metadata
from tests.history.postgres import Postgres
from tests.history.recorder import Recorder
from tests.history.samples import OWNER


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        opened: Any = SqliteDatabase.opened(tmp_path / FILE)
    else:
        opened = PostgresDatabase.opened(
            await request.getfixturevalue("server").database(), logger=Recorder()
        )
    async with opened as database:
        yield database


def test_the_newest_revision_is_the_last_migration() -> None:
    """The number that a start compares with is that of the scripts."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == NEWEST


async def test_the_migrations_make_the_tables_of_the_code(database: Database) -> None:
    """Nothing is missing, and nothing is left over."""
    await database.prepare(Recorder())

    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await database.read(differences) == []


async def test_what_an_older_server_kept_is_still_there(database: Database) -> None:
    """A database of the first revision, with a conversation in it, comes to the tables of today."""
    await database.write(made_by_the_first_revision)
    logger = Recorder()
    async with SqlHistory.on(database, logger) as history:
        messages = await history.messages(OWNER, "s")
    assert logger.events == ["history_migrated"]
    shown = [(m.message_id, m.parent_id, m.content, m.outcome, m.model) for m in messages]
    assert shown == [("p", None, "hello", None, None), ("a", "p", "Hi!", "complete", "scripted/story")]


def made_by_the_first_revision(connection: Connection) -> None:
    """Make the tables of the first revision, and an exchange as it was kept there."""
    migrate(connection, "0001")
    for table, values in (
        ("sessions", "('s', 'somebody', 'hello', '2026', '2026')"),
        ("streams", "('x', 's', 'a', 1, 'scripted/story', 'ended', 'complete', 'stop', 1, 5, 2, true)"),
        ("messages", "(1, 'p', 's', NULL, 'x', 'user', 'hello', '', '2026')"),
        ("messages", "(2, 'a', 's', 'p', 'x', 'assistant', 'Hi!', '', '2026')"),
    ):
        columns = ", ".join(column["name"] for column in inspect(connection).get_columns(table))
        columns = columns.partition(", prompt_tokens")[0]
        connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES {values}"))


async def test_a_second_start_migrates_nothing(database: Database) -> None:
    """And says nothing of it."""
    first, second = Recorder(), Recorder()
    await database.prepare(first)
    await database.prepare(second)
    assert (first.events, second.events) == (["history_migrated"], [])


async def test_servers_that_start_at_once_migrate_once(server: Postgres) -> None:
    """The others wait, and find it done."""
    url = await server.database()

    @asynccontextmanager
    async def start() -> AsyncIterator[Recorder]:
        async with PostgresDatabase.opened(url, logger=Recorder()) as database:
            logger = Recorder()
            await database.prepare(logger)
            yield logger

    async def events() -> list[str]:
        async with start() as logger:
            return logger.events

    found = await asyncio.gather(*(events() for _ in range(4)))
    assert sorted(found) == [[], [], [], ["history_migrated"]]


async def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    """An older program does not touch what it does not know."""
    async with SqliteDatabase.opened(tmp_path / FILE) as database:
        await database.prepare(Recorder())
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    async with SqliteDatabase.opened(tmp_path / FILE) as database:
        with pytest.raises(DatabaseUnusable, match="newer"):
            await database.prepare(Recorder())
        assert await database.read(revision) == "9999"
