"""Opens the configured history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from app.chat.ports import Logger
from app.chat.records import History
from app.history.database import Database
from app.history.memory import MemoryHistory
from app.history.sql import SqlHistory
from app.history.sqlite import SqliteDatabase

FILE = "tailrace.db"
MEMORY = "memory:"


@asynccontextmanager
async def opened(
    url: str | None, data_dir: Path, *, logger: Logger, alone: bool = False
) -> AsyncIterator[History]:
    """Yield the history at `url`: `postgresql://…`, `memory:`, or by default a SQLite file in `data_dir`.

    `alone` refuses a PostgreSQL database that another server uses; a SQLite file always has one server only.
    Raises `DatabaseUnusable`.
    """
    if url == MEMORY:
        yield MemoryHistory()
        return
    async with (
        _database(url, data_dir, alone, logger) as database,
        SqlHistory.on(database, logger) as history,
    ):
        yield history


def _database(
    url: str | None, data_dir: Path, alone: bool, logger: Logger
) -> AbstractAsyncContextManager[Database]:
    if url is None:
        return SqliteDatabase.opened(data_dir / FILE)
    # Imported late: its libraries take a tenth of a second to import, and most servers do not need them.
    from app.history.postgres import PostgresDatabase

    return PostgresDatabase.opened(url, logger=logger, alone=alone)
