"""Brings a database to the newest revision, with Alembic, and says which revision that is."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text

NEWEST = "0003"  # held against the migrations by a test; Alembic takes a quarter of a second to find it out
SCRIPTS = Path(__file__).parent / "migrations"


class UnknownRevision(Exception):
    """The database has a revision that these migrations do not know: a newer Tailrace has written it."""


def revision(connection: Connection) -> str | None:
    """Return the revision that a database has, `None` if it has none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def migrate(connection: Connection, to: str = NEWEST) -> bool:
    """Apply what is missing, inside the caller's transaction; tell whether anything was. Raises `UnknownRevision`."""
    if revision(connection) == to:
        return False
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of its plug-ins
    # Imported late: most starts find nothing to do.
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
