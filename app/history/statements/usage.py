"""What each owner has stored, as the triggers of the tables count it."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from app.chat.quotas import Usage
from app.history.statements.prepared import Prepared
from app.history.statements.tables import Name, usage
from app.history.statements.triggers import TRIGGERS


def add_triggers(connection: Connection) -> None:
    """Create the triggers. The tables must exist."""
    for statement in TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(statement)


def replace_triggers(connection: Connection) -> None:
    """Create the triggers in place of those of an earlier version.

    In PostgreSQL only their functions are: other servers may write meanwhile, and a trigger locks its table.
    """
    for statement in TRIGGERS[connection.dialect.name]:
        _, kind, name = statement.split()[:3]
        if kind == "TRIGGER":
            if connection.dialect.name == "postgresql":
                continue
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql(statement)


_OF_OWNER = bindparam("of_owner", type_=Name)
_OWN = Prepared(select(usage.c.sessions, usage.c.bytes).where(usage.c.owner == _OF_OWNER))
_ALL = Prepared(select(func.coalesce(func.sum(usage.c.bytes), 0)))


def read_usage(connection: Connection, owner: str) -> Usage:
    """Return what an owner has stored."""
    return Usage(*(_OWN.one(connection, {"of_owner": owner}) or ()))


def read_stored_bytes(connection: Connection) -> int:
    """Return the bytes of all owners together. What can be restored only counts for nobody."""
    [total] = _ALL.one(connection, {}) or (0,)
    return int(total)
