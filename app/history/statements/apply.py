"""The statements that change the history. Consecutive changes of one kind are executed together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.chat.errors import SessionNotFound
from app.history.statements.admit import Results, admit, stream_row
from app.history.statements.archive import restore
from app.history.statements.discard import discard, withdraw
from app.history.statements.tables import Name, messages, options_json, pieces, sessions, streams
from app.history.write_queue.changes import (
    Admit,
    Change,
    Configure,
    Delete,
    Discard,
    Finish,
    Mark,
    Piece,
    Rename,
    Restore,
    Withdraw,
)


def apply(connection: Connection, node: int, changes: Sequence[Change]) -> Results:
    """Apply the changes in order; return for each the error that refused it, or `None`."""
    results: Results = []
    for kind, group in groupby(changes, type):
        results += _APPLIERS[kind](connection, node, list(group))
    return results


def grow(connection: Connection, grown: Sequence[Piece]) -> None:
    """Store pieces of growing answers. A piece replaces a stored one with the same start, which may be shorter."""
    connection.execute(_GROW[connection.dialect.name], [piece._asdict() for piece in grown])


# ---- growing and ending --------------------------------------------------------------------------------------


def _grow(insert: Any) -> Any:
    statement = insert(pieces)
    return statement.on_conflict_do_update(
        index_elements=["message_id", "kind", "start"],
        set_={name: statement.excluded[name] for name in ("tokens", "text", "elapsed_ms")},
    )


_GROW = {"sqlite": _grow(sqlite.insert), "postgresql": _grow(postgresql.insert)}
_OF_STREAM = bindparam("of_stream", type_=Name)
_OF_MESSAGE = bindparam("of_message", type_=Name)
_OF_SESSION = bindparam("of_session", type_=Name)
_END = update(streams).where(streams.c.stream_id == _OF_STREAM)
# Only while the answer belongs to this stream: another one may have continued it.
_ANSWER = update(messages).where(messages.c.message_id == _OF_MESSAGE, messages.c.stream_id == _OF_STREAM)
_AGE = update(sessions).where(sessions.c.session_id == _OF_SESSION)
_FOLD = delete(pieces).where(pieces.c.message_id == _OF_MESSAGE)


def _finish(connection: Connection, _: int, group: list[Finish]) -> Results:
    """Replace the pieces by the whole answer. If the session was deleted, no row matches."""
    ends, answers, ages = [], [], []
    for state, content, reasoning, ended_at in group:
        figures = stream_row(state)
        ends.append({**figures, "of_stream": figures.pop("stream_id")})
        of = {"of_message": state.message_id, "of_stream": state.stream_id}
        answers.append({**of, "content": content, "reasoning": reasoning})
        ages.append({"of_session": state.session_id, "updated_at": ended_at})
    connection.execute(_END, ends)
    connection.execute(_ANSWER, answers)
    connection.execute(_AGE, ages)
    connection.execute(_FOLD, [{"of_message": change.state.message_id} for change in group])
    return [None] * len(group)


# ---- sessions -----------------------------------------------------------------------------------------------


def _rename(connection: Connection, _: int, group: list[Rename]) -> Results:
    results: Results = []
    for owner, session_id, title in group:
        own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
        done = connection.execute(update(sessions).where(*own).values(title=title))
        results.append(None if done.rowcount else SessionNotFound())
    return results


def _configure(connection: Connection, _: int, group: list[Configure]) -> Results:
    results: Results = []
    for owner, session_id, options in group:
        own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
        done = connection.execute(update(sessions).where(*own).values(options=options_json(options)))
        results.append(None if done.rowcount else SessionNotFound())
    return results


def _delete(connection: Connection, _: int, group: list[Delete]) -> Results:
    results: Results = []
    for owner, session_id in group:
        own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
        answers = select(streams.c.message_id).join(sessions).where(*own)
        connection.execute(delete(pieces).where(pieces.c.message_id.in_(answers)))
        done = connection.execute(delete(sessions).where(*own))
        results.append(None if done.rowcount else SessionNotFound())
    return results


def _mark(_: Connection, __: int, group: list[Mark]) -> Results:
    return [None] * len(group)


_APPLIERS: dict[type, Callable[[Connection, int, Any], Results]] = {
    Admit: admit,
    Finish: _finish,
    Discard: discard,
    Withdraw: withdraw,
    Rename: _rename,
    Configure: _configure,
    Delete: _delete,
    Restore: restore,
    Mark: _mark,
}
