"""Opens the configured history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from app.chat.ports import Logger
from app.chat.quotas import UNLIMITED, StorageLimits, UseLimits
from app.chat.tokens import TokenStore
from app.history.database import Database
from app.history.errors import DatabaseUnusable
from app.history.fence import Fence
from app.history.memory import MemoryHistory
from app.history.migration import NEWEST, revision
from app.history.sql import SqlHistory
from app.history.sqlite import SqliteDatabase
from app.history.tokens import SqlTokens

FILE = "tailrace.db"
MEMORY = "memory:"


@asynccontextmanager
async def opened(
    url: str | None,
    data_dir: Path,
    *,
    logger: Logger,
    alone: bool = False,
    limits: StorageLimits = UNLIMITED,
    fence: Fence | None = None,
    use: UseLimits | None = None,
) -> AsyncIterator[MemoryHistory | SqlHistory]:
    """Yield the history at `url`: `postgresql://…`, `memory:`, or by default a SQLite file in `data_dir`.

    `alone` refuses a PostgreSQL database that another server uses; a SQLite file always has one server only. `fence`
    makes this server a node of a cluster, which needs PostgreSQL; it refuses a server that uses the database alone.
    `use` are limits of owners on all nodes together.
    Raises `DatabaseUnusable`.
    """
    if fence is not None and (url is None or url == MEMORY):
        raise DatabaseUnusable(
            "several nodes need one PostgreSQL. Set TAILRACE_DATABASE_URL to postgresql://…, or unset "
            "TAILRACE_REDIS_URL."
        )
    if url == MEMORY:
        memory = MemoryHistory(limits)
        try:
            yield memory
        finally:
            memory.close()
        return
    async with (
        _database(url, data_dir, alone, logger, shared=fence is not None) as database,
        SqlHistory.on(database, logger, limits, fence, use) as history,
    ):
        yield history


def _database(
    url: str | None, data_dir: Path, alone: bool, logger: Logger, *, shared: bool = False
) -> AbstractAsyncContextManager[Database]:
    if url is None:
        return SqliteDatabase.opened(data_dir / FILE)
    # Imported late: its libraries take a tenth of a second to import, and most servers do not need them.
    from app.history.postgres import PostgresDatabase

    return PostgresDatabase.opened(url, logger=logger, alone=alone, shared=shared)


@asynccontextmanager
async def tokens_beside(url: str | None, data_dir: Path, *, logger: Logger) -> AsyncIterator[TokenStore]:
    """Yield the access tokens of the history at `url` to a command, which may run beside the server.

    Raises `DatabaseUnusable`, and `HistoryUnavailable` if the database does not respond.
    """
    if url == MEMORY:
        raise DatabaseUnusable("`memory:` keeps nothing. Use another TAILRACE_DATABASE_URL for named tokens.")
    if url is None and await _is_ready(data_dir / FILE):
        async with SqliteDatabase.beside(data_dir / FILE) as database:
            yield SqlTokens(database)
        return
    async with _database(url, data_dir, alone=False, logger=logger) as database:
        await database.prepare(logger)
        yield SqlTokens(database)


async def _is_ready(path: Path) -> bool:
    """Return whether the file exists and needs no migration, so that its lock may stay with the server."""
    if not await asyncio.to_thread(path.exists):
        return False
    async with SqliteDatabase.beside(path) as database:
        return await database.read(revision) == NEWEST
