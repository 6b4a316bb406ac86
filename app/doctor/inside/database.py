"""The history database, read without a lock: a running server does not notice."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import asyncpg

from app.config.settings import Settings
from app.doctor.findings import Finding, note, ok, problem, warning
from app.history.migration import NEWEST
from app.history.opening import FILE, MEMORY

CHECK = "database"
PATIENCE = 3.0  # s for a connection, a lock or a statement
CHECKED_SECONDS = 5.0  # s that the integrity check may take
STEPS = 10_000  # virtual machine instructions between two looks at the clock
BACKUP = "Restore a backup, or move the file away to start fresh."
TROUBLE = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.TargetServerAttributeNotMatched,  # of several hosts
    TimeoutError,
)
REVISION = "SELECT version_num FROM alembic_version"


async def check(settings: Settings) -> list[Finding]:
    """Check that the database can be read, is intact, and fits this release."""
    if settings.database_url == MEMORY:
        return [note(CHECK, "chats are kept in memory only, and lost at a restart")]
    if settings.database_url is not None:
        return [await _postgres(settings.database_url)]
    needs_tokens = settings.mode == "tokens" and settings.access_token is None
    return list(_sqlite(settings.data_dir / FILE, needs_tokens=needs_tokens))


def _sqlite(path: Path, *, needs_tokens: bool) -> Iterator[Finding]:
    if not path.exists():
        yield note(CHECK, f"{path} does not exist yet; the server creates it")
        return
    if not path.is_file():  # to open a pipe would wait for ever
        yield problem(CHECK, f"{path} is not a file", BACKUP)
        return
    began = time.monotonic()

    def is_late() -> bool:
        return time.monotonic() > began + CHECKED_SECONDS

    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=PATIENCE)) as connection:
            revision = _revision(connection)
            yield _fits(revision, str(path))
            if needs_tokens and revision == NEWEST:
                yield from _tokens(connection)
            connection.set_progress_handler(is_late, STEPS)
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        if is_late():
            yield note(CHECK, f"{path} is too large to be checked completely within {CHECKED_SECONDS:g} s")
        else:
            yield problem(CHECK, f"{path}: {error}", BACKUP)
        return
    if found == "ok":
        size = path.stat().st_size / 2**20
        yield ok(CHECK, f"{path} is intact ({size:.1f} MiB)")
    else:
        yield problem(CHECK, f"{path} is damaged: {found.splitlines()[-1]}", BACKUP)


def _revision(connection: sqlite3.Connection) -> str | None:
    try:
        row = connection.execute(REVISION).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return str(row[0]) if row else None


def _tokens(connection: sqlite3.Connection) -> Iterator[Finding]:
    if connection.execute("SELECT 1 FROM tokens LIMIT 1").fetchone() is None:
        yield warning(
            "access", "there is no token, so nobody is let in", "Make one: `tailrace token add NAME`."
        )


def _fits(revision: str | None, where: str) -> Finding:
    if revision is not None and revision > NEWEST:
        return problem(
            CHECK,
            f"{where} was migrated by a newer release of Tailrace",
            "Run that release or a newer one; this one cannot read it.",
        )
    if revision != NEWEST:
        return note(CHECK, f"{where} will be migrated when the server starts", "Make a backup before.")
    return ok(CHECK, f"{where} fits this release")


async def _postgres(url: str) -> Finding:
    try:
        connection = await asyncpg.connect(url, timeout=PATIENCE, command_timeout=PATIENCE)
    except (*TROUBLE, ValueError) as error:
        reason = str(error) or type(error).__name__
        return problem(
            CHECK,
            f"PostgreSQL does not accept a connection: {reason}",
            "Check TAILRACE_DATABASE_URL, and that PostgreSQL runs and lets this user in.",
        )
    try:
        table = await connection.fetchval("SELECT to_regclass('alembic_version')")
        revision = await connection.fetchval(REVISION) if table is not None else None
        skew = abs(time.time() - float(await connection.fetchval("SELECT extract(epoch FROM now())")))
    except TROUBLE as error:
        reason = str(error) or type(error).__name__
        return problem(CHECK, f"PostgreSQL cannot be read: {reason}", "See PostgreSQL's log.")
    finally:
        await connection.close(timeout=PATIENCE)
    if skew > PATIENCE:
        return warning(
            CHECK, f"its clock differs from this machine's by {skew:.0f} s", "Synchronise both clocks (NTP)."
        )
    return _fits(revision, "the PostgreSQL database")
