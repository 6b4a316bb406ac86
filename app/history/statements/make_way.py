"""The statements that free the id of a deleted session, for a new session that begins under it."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, delete, func, insert, literal, select, update

from app.chat.scoped_ids import scoped
from app.history.statements.tables import Name, deleted, images, keys, messages, sessions, streams

_OF_SESSION = (messages, streams, images, keys, deleted)

# What is moved within the transaction of a prompt: a few milliseconds, in which the prompts of all others wait.
MOST_ROWS = 200
MOST_BYTES = 1024 * 1024  # of texts and images


def is_kept(connection: Connection, owner: str, session_id: str) -> bool:
    """Return whether there is a deleted session of an owner under this id, whatever time it has left."""
    own = (deleted.c.session_id == session_id, deleted.c.owner == owner)
    return connection.scalar(select(deleted.c.session_id).where(*own)) is not None


def make_way(connection: Connection, owner: str, session_id: str) -> bool:
    """Keep a deleted session under another id, for a new one of its owner.

    Return whether the id is free now. A larger session than `MOST_ROWS` and `MOST_BYTES` stays where it is.
    """
    if not _is_small(connection, session_id):
        return False
    moved = scoped(owner, secrets.token_urlsafe(12))
    names = [column.name for column in sessions.columns]
    values = [literal(moved, Name) if name == "session_id" else sessions.c[name] for name in names]
    connection.execute(
        insert(sessions).from_select(names, select(*values).where(sessions.c.session_id == session_id))
    )
    for table in _OF_SESSION:
        connection.execute(update(table).where(table.c.session_id == session_id).values(session_id=moved))
    connection.execute(delete(sessions).where(sessions.c.session_id == session_id))
    return True


def _is_small(connection: Connection, session_id: str) -> bool:
    size = connection.scalar(select(sessions.c.bytes).where(sessions.c.session_id == session_id)) or 0
    left = MOST_ROWS
    for table in _OF_SESSION:
        some = select(literal(1)).where(table.c.session_id == session_id).limit(left + 1).subquery()
        left -= connection.scalar(select(func.count()).select_from(some)) or 0
        if left < 0:
            return False
    return size <= MOST_BYTES
