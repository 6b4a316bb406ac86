"""The statements that change the history: each takes neighbouring changes of one kind, and executes them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.history.changes import Admit, Change, Delete, Discard, Finish, Mark, Piece, Rename, Withdraw
from app.history.listing import title_of
from app.history.tables import Name, keys, messages, pieces, sessions, streams
from app.streams.errors import Refused, SessionNotFound
from app.streams.records import Message, StreamState

Results = list[Refused | None]


def apply(connection: Connection, node: int, changes: Sequence[Change]) -> Results:
    """Apply the changes in their order; return for each why it was refused, `None` if it was not."""
    results: Results = []
    for kind, group in groupby(changes, type):
        results += _APPLIERS[kind](connection, node, list(group))
    return results


def grow(connection: Connection, grown: Sequence[Piece]) -> None:
    """Keep what answers have grown by. A piece that is there already gives way: it may be shorter."""
    connection.execute(_GROW[connection.dialect.name], [piece._asdict() for piece in grown])


# ---- admitting -----------------------------------------------------------------------------------------------


def _admit(connection: Connection, node: int, group: list[Admit]) -> Results:
    connection.execute(_TOUCH[connection.dialect.name], [_session_row(change) for change in group])
    wanted = {change.exchange.session_id for change in group}
    found = connection.execute(
        select(sessions.c.session_id, sessions.c.owner).where(sessions.c.session_id.in_(wanted))
    )
    owners = {row.session_id: row.owner for row in found}
    ours = [
        change.exchange for change in group if owners[change.exchange.session_id] == change.exchange.owner
    ]
    if ours:
        said = [
            _message_row(exchange.session_id, message)
            for exchange in ours
            for message in (exchange.prompt, exchange.answer)
        ]
        connection.execute(_SAY, said)
        begun = [{**_stream_row(e.stream), "session_id": e.session_id, "node": node} for e in ours]
        connection.execute(streams.insert(), begun)
    if keyed := [exchange for exchange in ours if exchange.key is not None]:
        rows = [
            {
                "session_id": exchange.session_id,
                "key": exchange.key,
                "stream_id": exchange.stream.stream_id,
                "request_hash": exchange.request_hash,
            }
            for exchange in keyed
        ]
        connection.execute(keys.insert(), rows)
    return [None if change.exchange in ours else _no_session(change.exchange.session_id) for change in group]


def _touch(insert: Any) -> Any:
    """A session comes into being with its first prompt; a later one only makes it younger."""
    statement = insert(sessions)
    return statement.on_conflict_do_update(
        index_elements=["session_id"],
        set_={"updated_at": statement.excluded.updated_at},
        where=sessions.c.owner == statement.excluded.owner,
    )


_TOUCH = {"sqlite": _touch(sqlite.insert), "postgresql": _touch(postgresql.insert)}
_EARLIER = messages.alias("earlier")
# A message follows the newest of its session. Rows are inserted one by one, so an answer follows its prompt.
_SAY = messages.insert().values(
    parent_id=select(_EARLIER.c.message_id)
    .where(_EARLIER.c.session_id == bindparam("of_session", type_=Name))
    .order_by(_EARLIER.c.place.desc())
    .limit(1)
    .scalar_subquery()
)


def _session_row(change: Admit) -> dict[str, Any]:
    prompt = change.exchange.prompt
    return {
        "session_id": change.exchange.session_id,
        "owner": change.exchange.owner,
        "title": title_of(prompt.content),
        "created_at": prompt.created_at,
        "updated_at": prompt.created_at,
    }


def _message_row(session_id: str, message: Message) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "session_id": session_id,
        "of_session": session_id,
        "stream_id": message.stream_id,
        "role": message.role,
        "content": message.content,
        "reasoning": message.reasoning,
        "created_at": message.created_at,
    }


def _stream_row(state: StreamState) -> dict[str, Any]:
    return {
        "stream_id": state.stream_id,
        "message_id": state.message_id,
        "model": state.model,
        "status": str(state.status),
        "outcome": str(state.outcome) if state.outcome else None,
        "finish_reason": state.finish_reason,
        "tokens": state.tokens,
        "duration_ms": state.duration_ms,
        "ttft_ms": state.ttft_ms,
        "upstream_closed": state.upstream_closed,
        "prompt_tokens": state.usage.prompt_tokens if state.usage else None,
        "completion_tokens": state.usage.completion_tokens if state.usage else None,
        "error_code": state.error.code if state.error else None,
        "error_message": state.error.message if state.error else None,
    }


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
_ANSWER = update(messages).where(messages.c.message_id == _OF_MESSAGE)
_AGE = update(sessions).where(sessions.c.session_id == _OF_SESSION)
_FOLD = delete(pieces).where(pieces.c.message_id == _OF_MESSAGE)


def _finish(connection: Connection, _: int, group: list[Finish]) -> Results:
    """The answer as a whole takes the place of its pieces. Of a deleted session no row is left to match."""
    ends, answers, ages = [], [], []
    for state, content, reasoning, ended_at in group:
        figures = _stream_row(state)
        ends.append({**figures, "of_stream": figures.pop("stream_id")})
        answers.append({"of_message": state.message_id, "content": content, "reasoning": reasoning})
        ages.append({"of_session": state.session_id, "updated_at": ended_at})
    connection.execute(_END, ends)
    connection.execute(_ANSWER, answers)
    connection.execute(_AGE, ages)
    connection.execute(_FOLD, [{"of_message": change.state.message_id} for change in group])
    return [None] * len(group)


# ---- forgetting ----------------------------------------------------------------------------------------------


def _discard(connection: Connection, _: int, group: Sequence[Discard | Withdraw]) -> Results:
    gone = [change.stream_id for change in group]
    answers = select(streams.c.message_id).where(streams.c.stream_id.in_(gone))
    connection.execute(delete(pieces).where(pieces.c.message_id.in_(answers)))
    connection.execute(delete(messages).where(messages.c.stream_id.in_(gone)))
    return [None] * len(group)


def _withdraw(connection: Connection, node: int, group: list[Withdraw]) -> Results:
    gone = [change.stream_id for change in group]
    touched = select(streams.c.session_id).where(streams.c.stream_id.in_(gone))
    touched_sessions = list((connection.execute(touched)).scalars())
    results = _discard(connection, node, group)
    connection.execute(delete(keys).where(keys.c.stream_id.in_(gone)))
    connection.execute(delete(streams).where(streams.c.stream_id.in_(gone)))
    in_use = exists().where(streams.c.session_id == sessions.c.session_id)
    connection.execute(delete(sessions).where(sessions.c.session_id.in_(touched_sessions), ~in_use))
    return results


def _rename(connection: Connection, _: int, group: list[Rename]) -> Results:
    results: Results = []
    for owner, session_id, title in group:
        own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
        done = connection.execute(update(sessions).where(*own).values(title=title))
        results.append(None if done.rowcount else _no_session(session_id))
    return results


def _delete(connection: Connection, _: int, group: list[Delete]) -> Results:
    results: Results = []
    for owner, session_id in group:
        own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
        answers = select(streams.c.message_id).join(sessions).where(*own)
        connection.execute(delete(pieces).where(pieces.c.message_id.in_(answers)))
        done = connection.execute(delete(sessions).where(*own))
        results.append(None if done.rowcount else _no_session(session_id))
    return results


def _mark(_: Connection, __: int, group: list[Mark]) -> Results:
    return [None] * len(group)


def _no_session(session_id: str) -> SessionNotFound:
    return SessionNotFound(f"There is no session {session_id}.")


_APPLIERS: dict[type, Callable[[Connection, int, Any], Results]] = {
    Admit: _admit,
    Finish: _finish,
    Discard: _discard,
    Withdraw: _withdraw,
    Rename: _rename,
    Delete: _delete,
    Mark: _mark,
}
