"""The statement that ends the undo of an earlier deletion of the same id."""

from __future__ import annotations

from sqlalchemy import Connection, update

from app.history.statements.tables import deleted

LONG_AGO = 0.0  # when a session was deleted that is not kept any more, although its time is not over


def drop_earlier(connection: Connection, owner: str, session_id: str) -> None:
    """Keep no session any longer that its owner has deleted under this id before."""
    earlier = (deleted.c.owner == owner, deleted.c.was == session_id)
    connection.execute(update(deleted).where(*earlier).values(deleted_at=LONG_AGO))
