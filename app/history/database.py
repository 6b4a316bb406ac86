"""An open database: runs work in transactions and translates database errors."""

from __future__ import annotations

import secrets
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection
from sqlalchemy import exc as sql

from app.chat.errors import DiskFull, HistoryUnavailable, TailraceError
from app.chat.ports import Logger
from app.history.errors import DatabaseUnusable
from app.history.migration import NEWEST, UnknownRevision, migrate
from app.history.statements.recover import end_streams, hidden_sessions, running_nodes

PATIENCE = 2.0  # seconds that a statement waits for a lock, or a connection attempt for the server

T = TypeVar("T")
Work = Callable[[Connection], T]  # a synchronous function; the database decides where it runs


class Database(ABC):
    """The common part of SQLite and PostgreSQL. Subclasses open and close it in the context manager `opened`."""

    is_alone = False  # whether no other server, node or not, uses it
    is_own = False  # whether nobody else changes conversations in it: what was read stays true until the next change

    def __init__(self) -> None:
        self.node = secrets.randbits(62)  # identifies this server among those that share the database
        self.left: list[str] = []  # sessions that an earlier run did not store or delete completely

    async def read(self, work: Work[T]) -> T:
        """Run read-only work. Raises what it raises, or `HistoryUnavailable`.

        On SQLite it sees one state; on PostgreSQL each of its statements sees what is committed then.
        """
        try:
            return await self._read(work)
        except TailraceError:
            raise
        except Exception as error:
            raise _translated(error) from error

    async def write(self, work: Work[T], *, long: bool = False) -> T:
        """Run work in a transaction: committed when this returns, rolled back when it raises.

        `long` work may take minutes. Raises `HistoryUnavailable` if the database cannot write anything now, and
        SQLAlchemy's errors if it rejects this work.
        """
        try:
            return await (self._write_long(work) if long else self._write(work))
        except Exception as error:
            raise _translated(error) from error

    async def search(self, work: Work[T], seconds: float) -> T:
        """Run a search in a lane of its own, in one transaction. The work is interrupted after `seconds`.

        Raises what the work raises, `SearchTimeout` or `HistoryUnavailable`.
        """
        try:
            return await self._search(work, seconds)
        except TailraceError:
            raise
        except Exception as error:
            raise _translated(error) from error

    @abstractmethod
    async def _read(self, work: Work[T]) -> T: ...

    @abstractmethod
    async def _search(self, work: Work[T], seconds: float) -> T: ...

    @abstractmethod
    async def _write(self, work: Work[T]) -> T: ...

    async def _write_long(self, work: Work[T]) -> T:
        return await self._write(work)

    @abstractmethod
    def holds(self, column: ColumnElement[str], text: str) -> ColumnElement[bool]:
        """Return the condition that a column contains a text, ignoring case."""

    @abstractmethod
    async def tend(self) -> None:
        """Run maintenance, about once a second while there are changes. Raises `HistoryUnavailable`."""

    async def has_space(self, least: int) -> bool:
        """Return whether the disk has `least` bytes left. Always true where the disk is not this machine's."""
        del least
        return True

    @abstractmethod
    def lock_migration(self, connection: Connection, /) -> None:
        """Prevent other servers from migrating until the transaction ends."""

    @abstractmethod
    def dead(self, connection: Connection, nodes: Collection[int], /) -> Collection[int]:
        """Return those of `nodes` that no longer run."""

    async def prepare(self, logger: Logger) -> None:
        """Migrate to the newest revision and end the streams of dead servers. Raises `DatabaseUnusable`."""
        try:
            migrated, interrupted = await self.write(self._prepare, long=True)
        except UnknownRevision as error:
            raise DatabaseUnusable(
                "it was written by a newer version of Tailrace. Install that version."
            ) from error
        except (HistoryUnavailable, sql.SQLAlchemyError) as error:
            raise DatabaseUnusable(f"{cause(error)}. It was left unchanged.") from error
        if migrated:
            logger.info("history_migrated", revision=NEWEST)
        if interrupted:
            logger.warning("history_recovered", interrupted=interrupted)

    def _prepare(self, connection: Connection) -> tuple[bool, int]:
        self.lock_migration(connection)
        migrated = migrate(connection)
        self.left = hidden_sessions(connection, alone=self.is_alone)
        dead = self.dead(connection, running_nodes(connection))
        return migrated, end_streams(connection, dead, alone=self.is_alone) if dead else 0


def cause(error: BaseException) -> str:
    """Return the database's own error message: its first line, without statements or parameters."""
    while isinstance(error, HistoryUnavailable) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, sql.DBAPIError) and error.orig is not None:
        error = error.orig
    if error.__cause__ is not None and str(error).startswith("<class "):
        error = error.__cause__  # SQLAlchemy's asyncpg wrapper puts the class before the message
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")


def is_full(error: Exception) -> bool:
    """Return whether the database has no room left: SQLITE_FULL, or `disk_full` of PostgreSQL (SQLSTATE 53100)."""
    driver = error.orig if isinstance(error, sql.DBAPIError) else error
    return getattr(driver, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or (
        getattr(driver, "sqlstate", None) == "53100"
    )


def _is_bad_value(error: sql.DBAPIError) -> bool:
    """Return whether PostgreSQL refuses a value (SQLSTATE 22...). SQLAlchemy takes that of asyncpg for any error."""
    return str(getattr(error.orig, "sqlstate", "")).startswith("22")


def _translated(error: Exception) -> Exception:
    """Return `HistoryUnavailable` for transient errors; errors of the statement itself are returned unchanged."""
    own_fault = (sql.IntegrityError, sql.DataError, sql.ProgrammingError, sql.InterfaceError)
    if isinstance(error, sql.DBAPIError):
        passing = error.connection_invalidated or not (isinstance(error, own_fault) or _is_bad_value(error))
    else:
        # SQLAlchemy does not wrap asyncpg's errors while a connection is being made.
        passing = isinstance(error, (sql.TimeoutError, OSError)) or type(error).__module__.startswith(
            "asyncpg"
        )
    if not passing:
        return error
    if is_full(error):
        return DiskFull("The server's disk is full, so this couldn't be saved. Try again later.")
    return HistoryUnavailable(f"Chat history is unavailable: {cause(error)}. Try again in a moment.")
