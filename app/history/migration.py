"""Migrates a database to the newest revision with Alembic."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text

NEWEST = "0003"  # a test compares it with the migrations; asking Alembic takes a quarter of a second
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
    if revision(connection) == to:
        return False
    logging.getLogger("alembic").setLevel(logging.WARNING)  # at INFO it logs its plug-ins
    # Imported late: on most starts there is nothing to migrate.
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
