"""A server's sign of life on a PostgreSQL: locks that last as long as one connection of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg

from app.chat.errors import HistoryUnavailable
from app.chat.ports import Logger
from app.history.database import PATIENCE, cause
from app.history.errors import DatabaseUnusable

SERVER = 0x7461696C72616366  # the number of the lock of the one server that runs on a database: "tailracf"
TRY_SECONDS = 0.25  # from one try to take that lock to the next
TAKEOVER_SECONDS = 30.0  # that a start waits for the server before it, which may be draining
LOOK_SECONDS = 1.0  # from one look at the connection to the next
ASK_LOOKS = 10  # looks from one question to PostgreSQL to the next: a connection may also die without a word

_TROUBLE = (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError)


class SignOfLife:
    """Locks on a connection of their own. PostgreSQL gives them back when that ends, however it ends.

    One has the number of this server, by which others see that it lives; one, if claimed, is that of the only server
    on the database. Lost with their connection, they are taken again within `LOOK_SECONDS` of the loss being known.
    """

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], node: int) -> None:
        self._connect = connect
        self._node = node
        self._connection: asyncpg.Connection | None = None
        self._claimed = False
        self._giving = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<SignOfLife {'given' if self.is_given else 'lost'} claimed={self._claimed}>"

    @property
    def is_given(self) -> bool:
        """Whether the connection is open, as far as that is known here."""
        return self._connection is not None and not self._connection.is_closed()

    async def give(self) -> None:
        """Take the locks, unless they are held. Raises `HistoryUnavailable`."""
        async with self._giving:
            if not self.is_given:
                self._connection = await self._locked()

    async def claim(self) -> None:
        """Take the lock of the one server. Raises `DatabaseUnusable` while another has it, `HistoryUnavailable`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + TAKEOVER_SECONDS
        while self._connection is None or not await _try_to_claim(self._connection):
            if loop.time() >= deadline:
                raise DatabaseUnusable(
                    "another Tailrace server is running on this PostgreSQL database. Stop that server, or set "
                    "TAILRACE_DATABASE_URL to another database."
                )
            await asyncio.sleep(TRY_SECONDS)
        self._claimed = True

    @asynccontextmanager
    async def kept(self, logger: Logger) -> AsyncIterator[None]:
        """Look after the locks for as long as the block lasts, whether anything is written or not."""
        keeping = asyncio.create_task(self._keep(logger), name="history-sign")
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})

    async def close(self) -> None:
        """Give the locks back. Bounded."""
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
        """Take the locks and tell whether that succeeded; the log hears of the `first` failure in a row."""
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
        """Find out whether a connection that looks open is. Bounded by asyncpg's timeout of a command."""
        connection = self._connection
        if connection is not None and self.is_given:
            try:
                await connection.execute("SELECT 1")
            except _TROUBLE:
                connection.terminate()

    async def _locked(self) -> asyncpg.Connection:
        """Return a new connection that holds the locks. One that does not get them is closed."""
        try:
            connection = await self._connect()
        except _TROUBLE as error:
            raise _unavailable(error) from error
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", self._node)
            if self._claimed:
                await _claim_again(connection)
        except BaseException as error:  # also a cancelled one leaves no connection behind
            connection.terminate()
            if isinstance(error, _TROUBLE):
                raise _unavailable(error) from error
            raise
        return connection


async def _try_to_claim(connection: asyncpg.Connection) -> bool:
    try:
        return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", SERVER))
    except _TROUBLE as error:
        raise _unavailable(error) from error


async def _claim_again(connection: asyncpg.Connection) -> None:
    if not await _try_to_claim(connection):
        raise HistoryUnavailable("Another Tailrace server has taken over this PostgreSQL database.")


async def _close(connection: asyncpg.Connection) -> None:
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await connection.close(timeout=PATIENCE)


def _unavailable(error: BaseException) -> HistoryUnavailable:
    return HistoryUnavailable(f"PostgreSQL isn't responding: {cause(error)}.")
