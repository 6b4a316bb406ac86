"""Migrations: they bring a database to the tables of the code, once, whoever starts at the same time."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.util import await_only

from app.chat.quotas import MESSAGE_BYTES, Usage
from app.history import database as database_module
from app.history.database import Database
from app.history.errors import DatabaseUnusable
from app.history.migration import NEWEST, SCRIPTS, migrate, revision
from app.history.opening import FILE
from app.history.postgres import LET_GO, PostgresDatabase
from app.history.sql import SqlHistory
from app.history.sqlite import SqliteDatabase
from app.history.statements.tables import DELETED, HIDDEN, metadata
from app.history.statements.usage import read_usage
from tests.history.samples import OWNER
from tests.support.postgres import Postgres
from tests.support.processes import ROOT
from tests.support.recorder import Recorder


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        opened: Any = SqliteDatabase.opened(tmp_path / FILE)
    else:
        opened = PostgresDatabase.opened(
            await request.getfixturevalue("postgres").database(), logger=Recorder()
        )
    async with opened as database:
        yield database


def test_the_newest_revision_is_the_last_migration() -> None:
    """The number that a start compares with is that of the scripts."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == NEWEST


@pytest.mark.parametrize("way", ["created", "migrated"])
async def test_the_migrations_make_the_tables_of_the_code(database: Database, way: str) -> None:
    """Nothing is missing, and nothing is left over; also in an empty database, which is not migrated step by step."""
    if way == "migrated":
        await database.write(lambda connection: migrate(connection, "0001"))
    await database.prepare(Recorder())

    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await database.read(differences) == []
    assert await database.read(revision) == NEWEST


async def test_a_created_database_is_like_a_migrated_one(tmp_path: Path) -> None:
    """In what Alembic does not compare, too: keys, uniqueness, defaults, row ids."""
    found = []
    for way in ("created", "migrated"):
        async with SqliteDatabase.opened(tmp_path / f"{way}.db") as database:
            if way == "migrated":
                await database.write(lambda connection: migrate(connection, "0001"))
            await database.prepare(Recorder())
            found.append(await database.read(described))
    assert found[0] == found[1]


async def test_postgresql_finds_running_streams_by_a_partial_index(postgres: Postgres) -> None:
    """Also in a created database: the option is not part of the table, see `app/history/migration.py`."""
    found = []
    for way in ("created", "migrated"):
        async with PostgresDatabase.opened(await postgres.database(), logger=Recorder()) as database:
            if way == "migrated":
                await database.write(lambda connection: migrate(connection, "0001"))
            await database.prepare(Recorder())
            found.append(await database.read(_running_index))
    assert found[0] == found[1]
    assert "outcome IS NULL" in found[0]


def _running_index(connection: Connection) -> str:
    query = text("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_streams_running'")
    return str(connection.scalar(query))


def described(connection: Connection) -> dict[str, Any]:
    """Return what SQLite knows of each table, without the order of columns that were added later."""
    tables: dict[str, Any] = {}
    for name, sql in connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")):
        columns = [row[1:] for row in connection.execute(text(f"PRAGMA table_info({name})"))]
        keys = [row[2:] for row in connection.execute(text(f"PRAGMA foreign_key_list({name})"))]
        indexes = [row[1:] for row in connection.execute(text(f"PRAGMA index_list({name})"))]
        counts = "AUTOINCREMENT" in sql.upper(), "WITHOUT ROWID" in sql.upper()
        tables[name] = sorted(map(repr, columns)), keys, sorted(map(repr, indexes)), counts
    triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    tables["the triggers"] = sorted(map(repr, triggers))
    assert tables["the triggers"]
    return tables


async def test_an_empty_database_needs_neither_alembic_nor_postgresql(tmp_path: Path) -> None:
    """They would take longer to import than the rest of the start, and keep megabytes."""
    program = (
        "import asyncio, pathlib, sys\n"
        "from unittest.mock import Mock\n"
        "from app.history.opening import opened\n"
        "async def start():\n"
        f"    async with opened(None, pathlib.Path({str(tmp_path)!r}), logger=Mock()): pass\n"
        "asyncio.run(start()); print({'alembic', 'sqlalchemy.dialects.postgresql'} & sys.modules.keys())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.strip() == b"set()"


async def test_what_is_there_is_counted_once(database: Database) -> None:
    """What owners have stored is summed up by the migration, and by triggers from then on."""

    def fill(connection: Connection) -> None:
        connection.execute(
            text(
                "INSERT INTO sessions (session_id, owner, title, created_at, updated_at, options) VALUES "
                "('a', 'alice', 't', '1', '1', '{}'), ('b', 'alice', 't', '1', '1', NULL), "
                "('c', 'bob', 't', '1', '1', NULL)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO messages (message_id, session_id, role, content, reasoning, created_at) VALUES "
                "('1', 'a', 'user', 'Größe', '', '1'), ('2', 'a', 'assistant', 'xyz', 'hm', '1'), "
                "('3', 'c', 'user', '', '', '1')"
            )
        )

    await database.write(lambda connection: migrate(connection, "0004"))
    await database.write(fill)
    await database.prepare(Recorder())
    alice, bob = Usage(2, 2 + 7 + 3 + 2 + 2 * MESSAGE_BYTES), Usage(1, MESSAGE_BYTES)
    assert await database.read(lambda connection: read_usage(connection, "alice")) == alice
    assert await database.read(lambda connection: read_usage(connection, "bob")) == bob
    await database.write(
        lambda connection: connection.execute(text("DELETE FROM sessions WHERE session_id = 'a'"))
    )
    assert await database.read(lambda connection: read_usage(connection, "alice")) == Usage(1, 0)


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


async def test_servers_that_start_at_once_migrate_once(postgres: Postgres) -> None:
    """The others wait, and find it done."""
    url = await postgres.database()

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


@pytest.mark.parametrize("at", ["the server", "PostgreSQL"])
async def test_nodes_that_start_at_once_wait_for_a_slow_migration(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """However slow the machine or the database is: limits that keep prompts short are not those of a migration."""
    limit = 0.1  # of statements, and of a transaction in which a node does nothing

    def slowly(connection: Connection) -> bool:
        if at == "PostgreSQL":
            connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": 10 * limit})
        else:
            await_only(asyncio.sleep(10 * limit))
        return migrate(connection)

    monkeypatch.setattr(database_module, "migrate", slowly)
    url = await postgres.database()
    loggers = [Recorder() for _ in range(3)]
    async with AsyncExitStack() as stack:
        starting = [PostgresDatabase.opened(url, logger=Recorder(), shared=True) for _ in loggers]
        nodes = [await stack.enter_async_context(each) for each in starting]
        monkeypatch.setattr("app.history.postgres.STATEMENT_SECONDS", limit)
        monkeypatch.setitem(LET_GO, "idle_in_transaction_session_timeout", str(round(limit * 1000)))
        await asyncio.gather(*(node.prepare(logger) for node, logger in zip(nodes, loggers, strict=True)))
    assert sorted(logger.events for logger in loggers) == [[], [], ["history_migrated"]]


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


async def test_what_can_be_restored_is_counted_for_nobody(database: Database) -> None:
    """Also by a database of an earlier version: one row for all of it would be locked by every deletion."""

    def owners(connection: Connection) -> list[tuple[str, int]]:
        found = connection.execute(text("SELECT owner, sessions FROM usage ORDER BY owner"))
        return [(owner, count) for owner, count in found]

    def give(connection: Connection, owner: str) -> None:
        connection.execute(text("UPDATE sessions SET owner = :owner"), {"owner": owner})

    def old(connection: Connection) -> None:
        migrate(connection, "0007")
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER usage_owner_changed"))
            connection.execute(
                text("CREATE TRIGGER usage_owner_changed AFTER UPDATE ON sessions BEGIN SELECT 1; END")
            )
        else:
            connection.exec_driver_sql(
                "CREATE OR REPLACE FUNCTION tailrace_count_session() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RETURN NULL; END $$"
            )
        columns = "(session_id, owner, title, created_at, updated_at)"
        connection.execute(text(f"INSERT INTO sessions {columns} VALUES ('a', 'alice', 't', '1', '1')"))
        connection.execute(text("DELETE FROM usage"))
        connection.execute(text("INSERT INTO usage (owner, sessions, bytes) VALUES ('alice', 1, 0)"))

    await database.write(old)
    await database.prepare(Recorder())
    await database.write(lambda connection: give(connection, DELETED))
    assert await database.read(owners) == []
    await database.write(
        lambda connection: connection.execute(text("UPDATE sessions SET bytes = bytes + 5, options = '{}'"))
    )
    assert await database.read(owners) == []
    await database.write(lambda connection: give(connection, "alice"))
    assert await database.read(lambda connection: read_usage(connection, "alice")) == Usage(1, 7)
    await database.write(lambda connection: give(connection, HIDDEN))
    assert await database.read(owners) == [(HIDDEN, 1)]
    await database.write(lambda connection: give(connection, DELETED))
    await database.write(lambda connection: connection.execute(text("DELETE FROM sessions")))
    assert await database.read(owners) == []
