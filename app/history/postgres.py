"""The history database on PostgreSQL. Several Tailrace servers may share it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import ColumnElement, Connection, event, func, select
from sqlalchemy import exc as sql
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.chat.errors import HistoryUnavailable, SearchTimeout
from app.chat.ports import Logger
from app.history.database import PATIENCE, Database, T, Work, cause
from app.history.errors import DatabaseUnusable
from app.history.sign import SignOfLife

STATEMENT_SECONDS = 5.0
CONNECTIONS = 8
DEADLOCK = "40P01"  # SQLSTATE; the transaction was rolled back
DEADLOCKS = 3  # attempts after which a deadlock is an error
# A node that was paused in a transaction must not keep others from its sessions: PostgreSQL ends it.
LET_GO = {"idle_in_transaction_session_timeout": "1000"}  # ms
QUERY_CANCELED = "57014"  # SQLSTATE, of a statement that took too long
MIGRATION = 0x7461696C72616365  # advisory lock key: "tailrace"
# For a statement of a migration, and for another node's migration: systemd and Kubernetes wait as long for the start.
MIGRATION_SECONDS = 600.0
# The node computes in between, on a machine that may be busy; one that was paused must still let the others go on.
MIGRATION_IDLE_SECONDS = 60.0


class PostgresDatabase(Database):
    """A PostgreSQL database. Each server holds an advisory lock while it runs, so that others can see that it does."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        super().__init__()
        self._engine = engine
        # Each statement sees what is committed then, in a transaction or without: without is two round trips less.
        self._reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._url = url
        self._sign = SignOfLife(lambda: _connect(url, STATEMENT_SECONDS), self.node)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, url: str, *, logger: Logger, alone: bool = False, shared: bool = False
    ) -> AsyncIterator[PostgresDatabase]:
        """Open a libpq URL (`postgresql://…`) for the duration of the block. Raises `DatabaseUnusable`.

        `alone` allows one such server per database: it waits `TAKEOVER_SECONDS` for another one, then raises.
        `shared` is for the nodes of a cluster: any number of them, but none beside a server that is `alone`.
        """
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda: _connect(url, STATEMENT_SECONDS, LET_GO if shared else None),
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=PATIENCE,
            hide_parameters=True,
        )
        event.listen(engine.sync_engine, "checkout", _replace_closed)
        database = cls(engine, url)
        try:
            try:
                await database._sign.give()
                if alone or shared:
                    await database._sign.claim(shared=shared)
                    database.is_alone = not shared
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
        return await _run(self._reader, work)

    async def _search(self, work: Work[T], seconds: float) -> T:
        def limited(connection: Connection) -> T:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {round(seconds * 1000)}")
            return work(connection)

        try:
            return await _run(self._engine, limited)
        except sql.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == QUERY_CANCELED:
                raise SearchTimeout from error
            raise

    async def _write(self, work: Work[T]) -> T:
        return await _written(self._engine, work)

    async def _write_long(self, work: Work[T]) -> T:
        def unhurried(connection: Connection) -> T:
            limits = {
                "idle_in_transaction_session_timeout": MIGRATION_IDLE_SECONDS,
                "lock_timeout": MIGRATION_SECONDS,
                "statement_timeout": MIGRATION_SECONDS,
            }
            for name, seconds in limits.items():
                connection.exec_driver_sql(f"SET LOCAL {name} = {round(seconds * 1000)}")
            return work(connection)

        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda: _connect(self._url, MIGRATION_SECONDS),
            poolclass=NullPool,
            hide_parameters=True,
        )
        try:
            return await _written(engine, unhurried)
        finally:
            await engine.dispose()

    def holds(self, column: ColumnElement[str], text: str) -> ColumnElement[bool]:
        """See `Database`. `strpos` finds a text without comparing it at every position."""
        return func.strpos(func.lower(column), func.lower(text)) > 0

    async def tend(self) -> None:
        """See `Database`. Take the locks again if their connection was lost."""
        await self._sign.give()

    def lock_migration(self, connection: Connection) -> None:
        """See `Database`."""
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION)))

    def dead(self, connection: Connection, nodes: Collection[int]) -> Collection[int]:
        """See `Database`. A node is dead if its lock is free. Locks taken here are released with the transaction."""
        return [node for node in nodes if connection.scalar(select(func.pg_try_advisory_xact_lock(node)))]


async def _written(engine: AsyncEngine, work: Work[T]) -> T:
    for _ in range(DEADLOCKS):
        try:
            return await _run(engine, work, commits=True)
        except sql.DBAPIError as error:
            # Nodes of a cluster count the usage of the same owners, in any order.
            if getattr(error.orig, "sqlstate", None) != DEADLOCK:
                raise
    return await _run(engine, work, commits=True)


async def _run(engine: AsyncEngine, work: Work[T], *, commits: bool = False) -> T:
    """Run work, and once more if its connection turns out to have ended: nothing of it was committed then."""
    has_failed = False
    while True:
        async with engine.connect() as connection:
            try:
                result = await connection.run_sync(work)
            except sql.DBAPIError as error:
                if has_failed or not _was_ended(error):
                    raise
                has_failed = True
                continue
            if commits:
                await connection.commit()
            return result


def _replace_closed(connection: DBAPIConnection, *_: object) -> None:
    """Have the pool replace a connection that died, such as when PostgreSQL restarted.

    This costs nothing, unlike a ping. One that is not known to have died yet is noticed at its next statement.
    """
    if connection.driver_connection.is_closed():
        raise sql.DisconnectionError


def _was_ended(error: sql.DBAPIError) -> bool:
    """Return whether PostgreSQL has ended the connection, such as one whose node was held up in a transaction.

    asyncpg may notice that in the middle of the next statement: then it is an internal error of its own.
    """
    return error.connection_invalidated or isinstance(error, sql.InterfaceError | sql.InternalError)


async def _connect(url: str, seconds: float, options: dict[str, str] | None = None) -> asyncpg.Connection:
    return await asyncpg.connect(url, timeout=PATIENCE, command_timeout=seconds, server_settings=options)
