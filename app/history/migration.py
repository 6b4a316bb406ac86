"""Migrates a database to the newest revision with Alembic."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, text

from app.history.statements.tables import IS_RUNNING, RUNNING, metadata
from app.history.statements.usage import add_triggers

NEWEST = "0008"  # a test compares it with the migrations; asking Alembic takes a quarter of a second
SCRIPTS = Path(__file__).parent / "migrations"


class UnknownRevision(Exception):
    """The database has a revision that these migrations do not contain: a newer Tailrace wrote it."""


def revision(connection: Connection) -> str | None:
    """Return the revision of a database, `None` if it has none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def migrate(connection: Connection, to: str = NEWEST) -> bool:
    """Apply missing migrations in the caller's transaction; return whether there were any. Raises `UnknownRevision`."""
    found = revision(connection)
    if found == to:
        return False
    if found is None and to == NEWEST and not inspect(connection).get_table_names():
        _create(connection)
        return True
    logging.getLogger("alembic").setLevel(logging.WARNING)  # at INFO it logs its plug-ins
    # Imported late: it takes a third of a second and ten megabytes, and is needed only for an older database.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError as error:
        raise UnknownRevision(str(error)) from error
    return True


def _create(connection: Connection) -> None:
    """Create the newest revision's tables and triggers in an empty database, without Alembic. A test compares them."""
    if connection.dialect.name == "postgresql":
        # Not in the table's definition: an option of this dialect would import it at every start, also for SQLite.
        RUNNING.dialect_options["postgresql"]["where"] = IS_RUNNING
    metadata.create_all(connection, checkfirst=False)
    add_triggers(connection)
    own = MetaData()
    version = Table("alembic_version", own, Column("version_num", String(32), primary_key=True))
    own.create_all(connection, checkfirst=False)
    connection.execute(insert(version).values(version_num=NEWEST))
