"""The statements that delete a session so that it can be restored, restore it, and delete it for good.

Its rows stay where they are: only its owner changes. So neither costs more for a long session or for its images.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, or_, select, update

from app.chat import undo
from app.chat.errors import NothingToRestore, Refused, SessionNotFound
from app.chat.states import Outcome
from app.chat.undo import Kept, crowded_out, nothing_to_restore
from app.history.statements.archive import is_long_session
from app.history.statements.drop_earlier import LONG_AGO, drop_earlier
from app.history.statements.recover import end_unfinished
from app.history.statements.seconds_now import seconds_now
from app.history.statements.tables import (
    DELETED,
    HIDDEN,
    deleted,
    leases,
    pieces,
    sessions,
    streams,
)
from app.history.write_queue.changes import BringBack, Expire, GiveUp, SetAside


class NotKept(Refused):
    """Others leave no room to keep the session for a while: it has to be deleted at once. Not for callers."""


def _is_fresh() -> ColumnElement[bool]:
    """Also true of a time that is to come: a clock that was set back must not keep a session for longer."""
    return (seconds_now() - deleted.c.deleted_at).between(-undo.SECONDS, undo.SECONDS)


# ---- reading -------------------------------------------------------------------------------------------------


def can_be_kept(connection: Connection, owner: str, session_id: str) -> bool:
    """Return whether a session is small enough to be kept for a while after its deletion."""
    own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
    size = connection.scalar(select(sessions.c.bytes).where(*own))
    return size is not None and size <= undo.MOST_BYTES


def read_restorable(connection: Connection, owner: str, session_id: str) -> str:
    """Return the id under which a deleted session is kept and comes back. Raises `NothingToRestore`."""
    own = (deleted.c.owner == owner, deleted.c.was == session_id)
    found = connection.scalar(select(deleted.c.session_id).where(*own, _is_fresh()))
    if found is None:
        raise nothing_to_restore()
    return str(found)


def read_times_left(connection: Connection, node_id: str | None) -> dict[str, float]:
    """Return how many seconds each deleted session has left, by its id; of those in the hands of other nodes nothing.

    `node_id` is this node; `None` without a cluster.
    """
    age = seconds_now() - deleted.c.deleted_at
    wanted = select(deleted.c.session_id, age)
    if node_id is not None:
        others = exists().where(leases.c.session_id == deleted.c.session_id, leases.c.node_id != node_id)
        wanted = wanted.where(~others)
    return {
        session_id: undo.SECONDS - age if age >= -undo.SECONDS else 0.0
        for session_id, age in connection.execute(wanted)
    }


# ---- writing -------------------------------------------------------------------------------------------------


def set_aside(connection: Connection, _: int, group: Sequence[SetAside]) -> list[Refused | None]:
    """Take these sessions from their owners, who can have them back for `undo.SECONDS`."""
    return [_set_aside(connection, owner, session_id) for owner, session_id in group]


def _set_aside(connection: Connection, owner: str, session_id: str) -> Refused | None:
    own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
    size = connection.scalar(select(sessions.c.bytes).where(*own))
    if size is None:
        return SessionNotFound()
    drop_earlier(connection, owner, session_id)
    kept = connection.execute(
        select(deleted.c.owner, deleted.c.session_id, sessions.c.bytes)
        .join(sessions)
        .where(_is_fresh())
        .order_by(deleted.c.deleted_at)
    )
    new = Kept(owner, session_id, size)
    gone = crowded_out([Kept(*row) for row in kept], new)
    if new in gone:
        return NotKept()
    if gone:
        crowded = deleted.c.session_id.in_([each.session_id for each in gone])
        connection.execute(update(deleted).where(crowded).values(deleted_at=LONG_AGO))
    connection.execute(update(sessions).where(*own).values(owner=DELETED))
    row = {"session_id": session_id, "owner": owner, "was": session_id}
    connection.execute(insert(deleted).values(**row, deleted_at=seconds_now()))
    # Nobody waits for the rest of what was interrupted, and no other node goes on with it.
    unfinished = or_(streams.c.outcome.is_(None), streams.c.outcome == str(Outcome.INTERRUPTED))
    connection.execute(
        update(streams).where(streams.c.session_id == session_id, unfinished).values(halted=True)
    )
    return None


def bring_back(connection: Connection, _: int, group: Sequence[BringBack]) -> list[Refused | None]:
    """Give deleted sessions back to their owners."""
    return [_bring_back(connection, *change) for change in group]


def _bring_back(connection: Connection, owner: str, session_id: str, was: str) -> NothingToRestore | None:
    own = and_(deleted.c.session_id == session_id, deleted.c.owner == owner, deleted.c.was == was)
    if not connection.execute(delete(deleted).where(own, _is_fresh())).rowcount:
        return nothing_to_restore()
    end_unfinished(connection, [session_id])  # the end of an answer may have been lost with its server
    aside = (sessions.c.session_id == session_id, sessions.c.owner == DELETED)
    connection.execute(update(sessions).where(*aside).values(owner=owner))
    return None


def expire(connection: Connection, _: int, group: Sequence[Expire]) -> list[None]:
    """Delete sessions for good whose time is over. Of long ones, `Prune` deletes the rows."""
    for change in group:
        _expire(connection, change.session_id)
    return [None] * len(group)


def _expire(connection: Connection, session_id: str) -> None:
    over = delete(deleted).where(deleted.c.session_id == session_id, ~_is_fresh())
    if not connection.execute(over).rowcount:
        return
    aside = (sessions.c.session_id == session_id, sessions.c.owner == DELETED)
    if is_long_session(connection, session_id):
        connection.execute(update(sessions).where(*aside).values(owner=HIDDEN))
        return
    answers = select(streams.c.message_id).where(streams.c.session_id == session_id)
    connection.execute(delete(pieces).where(pieces.c.message_id.in_(answers)))
    connection.execute(delete(sessions).where(*aside))


def give_up(connection: Connection, _: int, group: Sequence[GiveUp]) -> list[None]:
    """Let nobody have these deleted sessions back, and leave their rows to `Prune`."""
    for owner, session_id in group:
        own = (deleted.c.session_id == session_id, deleted.c.owner == owner)
        if connection.execute(delete(deleted).where(*own)).rowcount:
            aside = (sessions.c.session_id == session_id, sessions.c.owner == DELETED)
            connection.execute(update(sessions).where(*aside).values(owner=HIDDEN))
    return [None] * len(group)
