"""The history's database on a PostgreSQL server, which several servers of ours may share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.chat.errors import HistoryUnavailable
from app.chat.ports import Logger
from app.history.database import PATIENCE, Database, T, Work, cause
from app.history.errors import DatabaseUnusable
from app.history.sign import SignOfLife

STATEMENT_SECONDS = 5.0
CONNECTIONS = 8
MIGRATION = 0x7461696C72616365  # the number of the lock: "tailrace"


class PostgresDatabase(Database):
    """A PostgreSQL. A server holds a lock for as long as it lives, by which others see that it does."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        super().__init__()
        self._engine = engine
        self._sign = SignOfLife(lambda: _connect(url), self.node)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, url: str, *, logger: Logger, alone: bool = False
    ) -> AsyncIterator[PostgresDatabase]:
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
                await database._sign.give()
                if alone:
                    await database._sign.claim()
            except HistoryUnavailable as error:
                raise DatabaseUnusable(f"cannot use PostgreSQL: {cause(error)}.") from error
            async with database._sign.kept(logger):
                yield database
        finally:
            await database._sign.close()
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
        await self._sign.give()

    def lock_migration(self, connection: Connection) -> None:
        """See `Database`."""
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION)))

    def dead(self, connection: Connection, nodes: Collection[int]) -> Collection[int]:
        """See `Database`. Whose lock can be had does not hold it any more; it is given back with the transaction."""
        return [node for node in nodes if connection.scalar(select(func.pg_try_advisory_xact_lock(node)))]


async def _connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, timeout=PATIENCE, command_timeout=STATEMENT_SECONDS)
