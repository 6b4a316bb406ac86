"""The history database as one SQLite file, for one server."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from sqlalchemy import ColumnElement, Connection, Engine, LargeBinary, cast, create_engine, event, func, text
from sqlalchemy import exc as sql
from sqlalchemy.engine import URL

from app.chat.errors import SearchTimeout
from app.history.database import PATIENCE, Database, T, Work
from app.history.errors import DatabaseUnusable
from app.history.matching import Deadline, holds_ascii, holds_folded
from app.history.search_lane import EACH, LANES
from app.private import FILE, narrow, private_file

CHECKED_BYTES = 32 * 1024 * 1024  # files up to this size are checked completely at start
# A thread waits this long before it takes the GIL from a busy event loop. A transaction releases the GIL dozens of
# times; with Python's default of 5 ms a prompt waited tenths of a second when the loop was half busy.
SWITCH_SECONDS = 0.0005
# Threads for searches and for long reads. One owner may have one of each at a time; another one's need not wait then.
SEARCHERS = LANES + EACH
READERS = 3  # threads, each with a connection, in addition to the writer's and those of searches
STEPS = 1000  # of SQLite's virtual machine between two looks at the time limit of a search
PRAGMAS = (
    "journal_mode = WAL",  # readers and the writer do not block each other
    "synchronous = NORMAL",  # see `SqliteDatabase.tend`
    "foreign_keys = ON",
    "journal_size_limit = 16777216",
    "wal_autocheckpoint = 8192",  # pages, 32 MiB: `tend` comes first, so that no prompt waits for a checkpoint
)


class SqliteDatabase(Database):
    """A file in WAL mode. A commit survives a crash of the server at once, and a power cut after the next `tend`.

    All work runs in the database's own threads, one transaction at a time in each. The event loop does no database I/O.
    """

    is_own = True  # by its lock file

    def __init__(
        self,
        engine: Engine,
        readers: ThreadPoolExecutor,
        writer: ThreadPoolExecutor,
        searchers: ThreadPoolExecutor,
    ) -> None:
        super().__init__()
        self.engine = engine
        # A writer takes its lock at BEGIN: if it read first, upgrading to the write lock could fail.
        self._writing_engine = engine.execution_options(begin="BEGIN IMMEDIATE")
        self._readers = readers
        self._writer = writer
        self._searchers = searchers
        self._space = 0  # bytes left on the disk, as of the last measurement

    def __repr__(self) -> str:
        return f"<SqliteDatabase {self.engine.url.database}>"

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path) -> AsyncIterator[SqliteDatabase]:
        """Open the file for the duration of the block, creating it if missing. Raises `DatabaseUnusable`."""
        with _locked(path.with_suffix(".lock")):
            await asyncio.to_thread(_check, path)
            sys.setswitchinterval(SWITCH_SECONDS)
            async with cls._connected(path) as database:
                yield database

    @classmethod
    @asynccontextmanager
    async def beside(cls, path: Path) -> AsyncIterator[SqliteDatabase]:
        """Open an existing file that a server may be using, for a few short transactions."""
        async with cls._connected(path) as database:
            yield database

    @classmethod
    @asynccontextmanager
    async def _connected(cls, path: Path) -> AsyncIterator[SqliteDatabase]:
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"timeout": PATIENCE},
            pool_size=READERS + SEARCHERS + 1,
            max_overflow=0,
            hide_parameters=True,
        )
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
        readers = ThreadPoolExecutor(READERS, "history-reader")
        writer = ThreadPoolExecutor(1, "history-writer")
        searchers = ThreadPoolExecutor(SEARCHERS, "history-search")
        try:
            yield cls(engine, readers, writer, searchers)
        finally:
            try:
                for threads in (readers, writer, searchers):
                    threads.shutdown(wait=False, cancel_futures=True)
                for threads in (readers, writer, searchers):
                    await asyncio.to_thread(threads.shutdown)
            finally:  # even if the wait is cancelled
                engine.dispose()

    async def _read(self, work: Work[T]) -> T:
        def reading() -> T:
            with self.engine.connect() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, reading)

    async def _search(self, work: Work[T], seconds: float) -> T:
        deadline = Deadline(seconds)

        def searching() -> T:
            with self.engine.connect() as connection, _limited(connection, deadline):
                return work(connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._searchers, searching)
        finally:
            deadline.cancel()  # the thread goes on after a cancelled wait

    async def _write(self, work: Work[T]) -> T:
        def writing() -> T:
            with self._writing_engine.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._writer, writing)

    def holds(self, column: ColumnElement[str], text: str) -> ColumnElement[bool]:
        """See `Database`. Of an ASCII word only ASCII letters match in either case."""
        data = cast(column, LargeBinary)
        return func.holds_ascii(data, text.encode()) if text.isascii() else func.holds_folded(data, text)

    async def tend(self) -> None:
        """See `Database`. Checkpoint the WAL, which syncs it to disk, so that commits need not wait for that."""
        await self.read(_checkpoint)
        await self._measure_space()

    async def has_space(self, least: int) -> bool:
        """See `Database`. As of the last `tend`; a full disk is measured again, since somebody may have made space."""
        if self._space < least:
            await self._measure_space()
        return self._space >= least

    async def _measure_space(self) -> None:
        folder = Path(str(self.engine.url.database)).parent
        usage = await asyncio.get_running_loop().run_in_executor(self._readers, shutil.disk_usage, folder)
        self._space = usage.free

    def lock_migration(self, _: Connection) -> None:
        """See `Database`. Does nothing: the lock file ensures that only one server uses the file."""

    def dead(self, _: Connection, nodes: Collection[int]) -> Collection[int]:
        """See `Database`. All of them: this server holds the lock file, so no other one runs."""
        return nodes


def _checkpoint(connection: Connection) -> None:
    connection.execution_options(begin=None)
    connection.execute(text("PRAGMA wal_checkpoint(PASSIVE)"))


def _set_up(connection: Any, _: object) -> None:
    connection.isolation_level = None  # `_begin` starts transactions, not the driver
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def _limited(connection: Connection, deadline: Deadline) -> Iterator[None]:
    """Give a connection the functions of `holds`, and interrupt its statements when the deadline has passed.

    Raises `SearchTimeout` then.
    """
    driver: Any = connection.connection.driver_connection
    for name, function in (("holds_ascii", holds_ascii), ("holds_folded", holds_folded)):
        driver.create_function(name, 2, partial(_called, function, deadline.check))
    driver.set_progress_handler(lambda: deadline.has_passed, STEPS)
    deadline.begin()
    try:
        yield
    except sql.OperationalError as error:
        if deadline.has_passed:
            raise SearchTimeout from error
        raise
    finally:
        driver.set_progress_handler(None, 0)


def _called(function: Callable[..., bool], check: Callable[[], None], data: bytes, word: Any) -> bool:
    return function(data, word, check)


def _begin(connection: Connection) -> None:
    begin = connection.get_execution_options().get("begin", "BEGIN")
    driver = connection.connection.driver_connection
    if begin is None or driver is None:
        return
    try:
        driver.execute(begin)  # `exec_driver_sql` costs ten times as much, for every transaction
    except sqlite3.Error as error:
        raise sql.OperationalError(begin, None, error) from error


def _check(path: Path) -> None:
    """Check the integrity of an existing file before anything is written to it. Raises `DatabaseUnusable`."""
    try:
        path.touch(mode=FILE)  # other users of this machine must not read chats
        for ending in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                narrow(path.with_name(f"{path.name}{ending}"))
        size = path.stat().st_size
        with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as connection:
            check = "PRAGMA quick_check(1)" if size <= CHECKED_BYTES else "SELECT count(*) FROM sqlite_master"
            [found] = connection.execute(check).fetchone()
    except sqlite3.Error as error:
        raise DatabaseUnusable(_advice(path, str(error))) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatabaseUnusable(f"{path}: {reason}. The server must be able to write to it.") from error
    if isinstance(found, str) and found != "ok":
        raise DatabaseUnusable(_advice(path, found.splitlines()[-1]))


def _advice(path: Path, problem: str) -> str:
    return f"{path}: {problem}. It was left unchanged. Restore a backup, or move it away to start fresh."


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the OS releases when the process dies. Raises `DatabaseUnusable` if another process holds it."""
    try:
        file = private_file(path)
    except OSError as error:
        raise DatabaseUnusable(f"{path}: {error.strerror or error}.") from error
    with file:
        try:
            _lock(file)
        except OSError as error:
            raise DatabaseUnusable(
                f"another server is using the folder {path.parent}. Stop it, or give this one its own folder."
            ) from error
        yield


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
