"""The history's database on a PostgreSQL server, which several servers of ours may share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress

import asyncpg
from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.history.database import PATIENCE, Database, T, Work, cause
from app.history.errors import DatabaseUnusable
from app.streams.errors import HistoryUnavailable

STATEMENT_SECONDS = 5.0
CONNECTIONS = 8
MIGRATION = 0x7461696C72616365  # the number of the lock: "tailrace"
SERVER = MIGRATION + 1  # the lock of the one server that runs on a database
TRY_SECONDS = 0.25  # from one try to the next
TAKEOVER_SECONDS = 30.0  # that a start waits for the server before it, which may be draining


class PostgresDatabase(Database):
    """A PostgreSQL. A server holds a lock for as long as it lives, by which others see that it does."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        super().__init__()
        self._engine = engine
        self._url = url
        self._alone = False  # whether the lock of the one server is ours
        self._sign: asyncpg.Connection | None = None  # the connection whose lock is our sign of life

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, *, alone: bool = False) -> AsyncIterator[PostgresDatabase]:
        """Open `postgresql://…`, as libpq writes it, for as long as the block lasts. Raises `DatabaseUnusable`.

        `alone` refuses it while another server that was opened so runs on it, after `TAKEOVER_SECONDS`.
        """
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda: _connect(url),
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=PATIENCE,
            pool_pre_ping=True,  # after a restart of the server, connections are found dead and made anew
            hide_parameters=True,
        )
        database = cls(engine, url)
        try:
            try:
                await database.tend()
                if alone:
                    await database._claim()
            except HistoryUnavailable as error:
                raise DatabaseUnusable(f"cannot use PostgreSQL: {cause(error)}.") from error
            yield database
        finally:
            await database._close_sign()
            await engine.dispose()

    def __repr__(self) -> str:
        return f"<PostgresDatabase node={self.node}>"

    async def _read(self, work: Work[T]) -> T:
        async with self._engine.connect() as connection:
            return await connection.run_sync(work)

    async def _write(self, work: Work[T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    def holds(self, column: ColumnElement[str], text: str) -> ColumnElement[bool]:
        """See `Database`."""
        return column.icontains(text, autoescape=True)

    async def tend(self) -> None:
        """See `Database`. Give the sign of life again if the connection that gave it was lost."""
        if self._sign is not None and not self._sign.is_closed():
            return
        try:
            self._sign = await _connect(self._url)
            await self._sign.execute("SELECT pg_advisory_lock($1)", self.node)
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise HistoryUnavailable(f"PostgreSQL isn't responding: {cause(error)}.") from error
        if self._alone and not await self._may_claim():
            await self._close_sign()  # so that the next look tries again
            raise HistoryUnavailable("Another Tailrace server has taken over this PostgreSQL database.")

    async def _claim(self) -> None:
        """Take the lock of the one server. PostgreSQL gives it back when the connection ends, however it ends.

        Raises `DatabaseUnusable`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + TAKEOVER_SECONDS
        while not await self._may_claim():
            if loop.time() >= deadline:
                raise DatabaseUnusable(
                    "another Tailrace server is running on this PostgreSQL database. Stop that server, or set "
                    "TAILRACE_DATABASE_URL to another database."
                )
            await asyncio.sleep(TRY_SECONDS)
        self._alone = True

    async def _may_claim(self) -> bool:
        if self._sign is None:
            return False
        try:
            return bool(await self._sign.fetchval("SELECT pg_try_advisory_lock($1)", SERVER))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise HistoryUnavailable(f"PostgreSQL isn't responding: {cause(error)}.") from error

    def lock_migration(self, connection: Connection) -> None:
        """See `Database`."""
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION)))

    def dead(self, connection: Connection, nodes: Collection[int]) -> Collection[int]:
        """See `Database`. Whose lock can be had does not hold it any more; it is given back with the transaction."""
        return [node for node in nodes if connection.scalar(select(func.pg_try_advisory_xact_lock(node)))]

    async def _close_sign(self) -> None:
        if self._sign is not None:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._sign.close(timeout=PATIENCE)


async def _connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, timeout=PATIENCE, command_timeout=STATEMENT_SECONDS)
