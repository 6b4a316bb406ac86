"""The statements that remove an exchange from a conversation, or undo its admission."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, select, update

from app.chat.branches import moved
from app.history.statements.admit import Results
from app.history.statements.tables import images, keys, messages, pieces, sessions, streams
from app.history.write_queue.changes import Discard, Withdraw


def discard(connection: Connection, _: int, group: Sequence[Discard]) -> Results:
    """Delete the messages of these exchanges; their streams stay."""
    _drop(connection, {change.stream_id for change in group})
    return [None] * len(group)


def withdraw(connection: Connection, _: int, group: Sequence[Withdraw]) -> Results:
    """Delete these exchanges with their streams and keys, and the sessions that are empty afterwards."""
    gone = {change.stream_id for change in group}
    emptied = _drop(connection, gone)
    connection.execute(delete(keys).where(keys.c.stream_id.in_(gone)))
    connection.execute(delete(streams).where(streams.c.stream_id.in_(gone)))
    of_session = [table.c.session_id == sessions.c.session_id for table in (streams, messages)]
    empty = [~exists().where(condition) for condition in of_session]
    connection.execute(delete(sessions).where(sessions.c.session_id.in_(emptied), *empty))
    return [None] * len(group)


def _drop(connection: Connection, gone: Collection[str]) -> set[str]:
    """Delete the messages of these streams, or return continued answers; return the sessions concerned."""
    rows = connection.execute(
        select(streams.c.stream_id, streams.c.session_id, streams.c.message_id, streams.c.continues).where(
            streams.c.stream_id.in_(gone)
        )
    ).all()
    connection.execute(delete(pieces).where(pieces.c.message_id.in_([row.message_id for row in rows])))
    for row in rows:
        if row.continues is not None:
            _give_back(connection, row)
    own = {row.stream_id for row in rows if row.continues is None}
    for session_id in {row.session_id for row in rows if row.continues is None}:
        _drop_messages(connection, session_id, own)
    return {row.session_id for row in rows}


def _give_back(connection: Connection, row: Row[*tuple[Any, ...]]) -> None:
    connection.execute(
        update(messages)
        .where(messages.c.message_id == row.message_id, messages.c.stream_id == row.stream_id)
        .values(stream_id=row.continues)
    )


def _drop_messages(connection: Connection, session_id: str, of_streams: Collection[str]) -> None:
    of_session = messages.c.session_id == session_id
    nodes = connection.execute(
        select(messages.c.message_id, messages.c.parent_id, messages.c.role, messages.c.stream_id)
        .where(of_session)
        .order_by(messages.c.place)
    ).all()
    gone = {node.message_id for node in nodes if node.stream_id in of_streams}
    for message_id, parent_id in moved(nodes, gone).items():
        connection.execute(
            update(messages).where(messages.c.message_id == message_id).values(parent_id=parent_id)
        )
    connection.execute(delete(images).where(images.c.message_id.in_(gone)))
    connection.execute(delete(messages).where(messages.c.message_id.in_(gone)))
