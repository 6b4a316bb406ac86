"""A server's sign of life on PostgreSQL: advisory locks tied to one connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg

from app.chat.errors import HistoryUnavailable
from app.chat.ports import Logger
from app.history.database import PATIENCE, cause
from app.history.errors import DatabaseUnusable

SERVER = 0x7461696C72616366  # advisory lock key of the only server on a database: "tailracf"
TRY_SECONDS = 0.25  # between attempts to take that lock
TAKEOVER_SECONDS = 30.0  # how long a start waits for the previous server, which may be draining
LOOK_SECONDS = 1.0  # between checks of the connection
ASK_LOOKS = 10  # checks between queries to PostgreSQL: a dead connection may still look open

# The last one: none of several hosts is what `target_session_attrs` asks for, such as during a failover.
_TROUBLE = (
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class SignOfLife:
    """Advisory locks on a dedicated connection. PostgreSQL releases them when the connection ends for any reason.

    One lock has this server's node number as its key and shows others that the server runs. The other, if claimed, is
    that of the only server on the database. When the connection is lost, both are taken again within `LOOK_SECONDS`
    of its detection.
    """

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], node: int) -> None:
        self._connect = connect
        self._node = node
        self._connection: asyncpg.Connection | None = None
        self._claimed = False
        self._shared = False
        self._giving = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<SignOfLife {'given' if self.is_given else 'lost'} claimed={self._claimed}>"

    @property
    def is_given(self) -> bool:
        """Whether the connection looks open from here."""
        return self._connection is not None and not self._connection.is_closed()

    async def give(self) -> None:
        """Take the locks unless they are held. Raises `HistoryUnavailable`."""
        async with self._giving:
            if not self.is_given:
                self._connection = await self._locked()

    async def claim(self, *, shared: bool = False) -> None:
        """Take the lock of the only server, `shared` with the other nodes of a cluster. Wait up to `TAKEOVER_SECONDS`.

        Raises `DatabaseUnusable` if another server keeps it, and `HistoryUnavailable`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + TAKEOVER_SECONDS
        while self._connection is None or not await _try_to_claim(self._connection, shared):
            if loop.time() >= deadline:
                raise DatabaseUnusable(
                    "another Tailrace server is running on this PostgreSQL database. Stop that server, or set "
                    "TAILRACE_DATABASE_URL to another database. Several servers on one database need "
                    "TAILRACE_REDIS_URL, the same for all of them."
                )
            await asyncio.sleep(TRY_SECONDS)
        self._claimed, self._shared = True, shared

    @asynccontextmanager
    async def kept(self, logger: Logger) -> AsyncIterator[None]:
        """Check the locks, and take lost ones again, for the duration of the block, even if nothing is written."""
        keeping = asyncio.create_task(self._keep(logger), name="history-sign")
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})

    async def close(self) -> None:
        """Release the locks. Bounded."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await _close(connection)

    async def _keep(self, logger: Logger) -> None:
        looks = 0
        lost = False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            looks += 1
            if looks % ASK_LOOKS == 0:
                await self._ask()
            if not self.is_given:
                if not lost:
                    logger.warning("history_sign_lost")
                lost = not await self._given_again(logger, first=not lost)
                if not lost:
                    logger.info("history_sign_given")

    async def _given_again(self, logger: Logger, *, first: bool) -> bool:
        """Take the locks; return whether that succeeded. Logs only the `first` of consecutive database failures."""
        try:
            await self.give()
        except HistoryUnavailable as error:
            if first:
                logger.warning("history_sign_not_given", error=str(error))
            return False
        except Exception as error:
            logger.error("history_sign_not_given", exc_info=error)
            return False
        return True

    async def _ask(self) -> None:
        """Test a connection that looks open, and terminate it if it fails. Bounded by asyncpg's command timeout."""
        connection = self._connection
        if connection is not None and self.is_given:
            try:
                await connection.execute("SELECT 1")
            except _TROUBLE:
                connection.terminate()

    async def _locked(self) -> asyncpg.Connection:
        """Return a new connection that holds the locks, or close it and raise `HistoryUnavailable`."""
        try:
            connection = await self._connect()
        except _TROUBLE as error:
            raise _unavailable(error) from error
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", self._node)
            if self._claimed:
                await _claim_again(connection, self._shared)
        except BaseException as error:  # a cancellation must not leak the connection either
            connection.terminate()
            if isinstance(error, _TROUBLE):
                raise _unavailable(error) from error
            raise
        return connection


async def _try_to_claim(connection: asyncpg.Connection, shared: bool) -> bool:
    lock = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
    try:
        return bool(await connection.fetchval(f"SELECT {lock}($1)", SERVER))
    except _TROUBLE as error:
        raise _unavailable(error) from error


async def _claim_again(connection: asyncpg.Connection, shared: bool) -> None:
    if not await _try_to_claim(connection, shared):
        raise HistoryUnavailable("Another Tailrace server has taken over this PostgreSQL database.")


async def _close(connection: asyncpg.Connection) -> None:
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await connection.close(timeout=PATIENCE)


def _unavailable(error: BaseException) -> HistoryUnavailable:
    return HistoryUnavailable(f"PostgreSQL isn't responding: {cause(error)}.")
