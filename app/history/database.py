"""A database that is open: work done inside its transactions, and one vocabulary for what goes wrong."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection
from sqlalchemy import exc as sql

from app.chat.errors import HistoryUnavailable, TailraceError
from app.chat.ports import Logger
from app.history.errors import DatabaseUnusable
from app.history.migration import NEWEST, UnknownRevision, migrate
from app.history.statements.recover import end_streams, running_nodes

PATIENCE = 2.0  # seconds that one statement waits for a lock, or a connection for its server

T = TypeVar("T")
Work = Callable[[Connection], T]  # plain functions of a connection; where they run is the database's to say


class Database(ABC):
    """What SQLite and PostgreSQL have in common. Subclasses open and close it, in a context manager `opened`."""

    def __init__(self) -> None:
        self.node = secrets.randbits(62)  # the number of this server among those that share the database

    async def read(self, work: Work[T]) -> T:
        """Do work that reads, all of it as of one moment. Raises what it raises, or `HistoryUnavailable`."""
        try:
            return await self._read(work)
        except TailraceError:
            raise
        except Exception as error:
            raise _translated(error) from error

    async def write(self, work: Work[T]) -> T:
        """Do work in a transaction: once this returns, all of it is kept; if this raises, nothing.

        Raises `HistoryUnavailable` if the database cannot keep anything now, and errors of SQLAlchemy if it cannot
        keep this.
        """
        try:
            return await self._write(work)
        except Exception as error:
            raise _translated(error) from error

    @abstractmethod
    async def _read(self, work: Work[T]) -> T: ...

    @abstractmethod
    async def _write(self, work: Work[T]) -> T: ...

    @abstractmethod
    def holds(self, column: ColumnElement[str], text: str) -> ColumnElement[bool]:
        """Return the condition that a column holds a text, in upper or lower case."""

    @abstractmethod
    async def tend(self) -> None:
        """Do what has to be done about once a second while there are changes. Raises `HistoryUnavailable`."""

    @abstractmethod
    def lock_migration(self, connection: Connection, /) -> None:
        """Keep other servers from migrating, until the end of the transaction."""

    @abstractmethod
    def dead(self, connection: Connection, nodes: Collection[int], /) -> Collection[int]:
        """Return those of `nodes` that do not live any more."""

    async def prepare(self, logger: Logger) -> None:
        """Migrate to the newest revision, and end what dead servers left running. Raises `DatabaseUnusable`."""
        try:
            migrated, interrupted = await self.write(self._prepare)
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
        dead = self.dead(connection, running_nodes(connection))
        return migrated, end_streams(connection, dead) if dead else 0


def cause(error: BaseException) -> str:
    """Return what a database itself said, in one line, without statements or parameters."""
    while isinstance(error, HistoryUnavailable) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, sql.DBAPIError) and error.orig is not None:
        error = error.orig
    if error.__cause__ is not None and str(error).startswith("<class "):
        error = error.__cause__  # SQLAlchemy's wrapper of asyncpg puts the class before the message
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")


def _translated(error: Exception) -> Exception:
    """Return `HistoryUnavailable` for what may pass by itself; what is wrong with the statement stays as it is."""
    own_fault = (sql.IntegrityError, sql.DataError, sql.ProgrammingError, sql.InterfaceError)
    if isinstance(error, sql.DBAPIError):
        passing = error.connection_invalidated or not isinstance(error, own_fault)
    else:
        # asyncpg's own errors come as they are while a connection is made.
        passing = isinstance(error, (sql.TimeoutError, OSError)) or type(error).__module__.startswith(
            "asyncpg"
        )
    if not passing:
        return error
    return HistoryUnavailable(f"Chat history is unavailable: {cause(error)}. Try again in a moment.")
