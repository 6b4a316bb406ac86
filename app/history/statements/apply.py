"""The statements that change the history. Consecutive changes of one kind are executed together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Text, bindparam, case, delete, select, update

from app.chat.errors import Refused, SessionNotFound
from app.chat.states import Outcome
from app.history.statements.admit import FIGURES, Result, Results, admit, stream_row
from app.history.statements.archive import begin, fill, hide, prune, reveal
from app.history.statements.deleted import bring_back, expire, give_up, set_aside
from app.history.statements.discard import discard, withdraw
from app.history.statements.drop_earlier import drop_earlier
from app.history.statements.octet_length import octet_length
from app.history.statements.prepared import Prepared
from app.history.statements.recover import end_unfinished, halt, take_up
from app.history.statements.room import Room
from app.history.statements.tables import Name, messages, options_json, pieces, sessions, streams
from app.history.stored_bytes import of_options
from app.history.write_queue.changes import (
    Admit,
    Begin,
    BringBack,
    Change,
    Configure,
    Delete,
    Discard,
    Expire,
    Fill,
    Finish,
    GiveUp,
    Halt,
    Hide,
    Interrupt,
    Mark,
    Piece,
    Prune,
    Rename,
    Reveal,
    SetAside,
    Withdraw,
)


def apply(connection: Connection, node: int, changes: Sequence[Change]) -> Results:
    """Apply the changes in order; return for each its result, or the error that refused it."""
    results: list[Result] = []
    for kind, group in groupby(changes, type):
        results += _APPLIERS[kind](connection, node, list(group))
    return results


def grow(connection: Connection, grown: Sequence[Piece]) -> None:
    """Store pieces of growing answers. A piece replaces a stored one with the same start, which may be shorter."""
    _GROW.run(connection, [piece._asdict() for piece in grown])


# ---- growing and ending --------------------------------------------------------------------------------------


def _grow(insert: Any) -> Any:
    statement = insert(pieces)
    return statement.on_conflict_do_update(
        index_elements=["message_id", "kind", "start"],
        set_={name: statement.excluded[name] for name in ("tokens", "text", "elapsed_ms")},
    )


_GROW = Prepared(_grow)
_OF_STREAM = bindparam("of_stream", type_=Name)
_OF_MESSAGE = bindparam("of_message", type_=Name)
_OF_SESSION = bindparam("of_session", type_=Name)
# The options of a request are not counted as stored bytes, so they stay only while the answer may be continued.
_GOES_ON = bindparam("ended_as", type_=Text()) == str(Outcome.INTERRUPTED)
_END = Prepared(
    update(streams)
    .where(streams.c.stream_id == _OF_STREAM)
    .values(request=case((_GOES_ON, streams.c.request))),
    FIGURES,
)
# Only while the answer belongs to this stream: another one may have continued it.
_ANSWER = Prepared(
    update(messages).where(messages.c.message_id == _OF_MESSAGE, messages.c.stream_id == _OF_STREAM),
    ("content", "reasoning"),
)
_AGE = Prepared(update(sessions).where(sessions.c.session_id == _OF_SESSION), ("updated_at",))
_FOLD = Prepared(delete(pieces).where(pieces.c.message_id == _OF_MESSAGE))


def _finish(connection: Connection, _: int, group: list[Finish]) -> Results:
    """Replace the pieces by the whole answer. If the session was deleted, no row matches."""
    ends, answers, ages = [], [], []
    for state, content, reasoning, ended_at in group:
        figures = stream_row(state)
        ends.append({**figures, "of_stream": figures.pop("stream_id"), "ended_as": figures["outcome"]})
        of = {"of_message": state.message_id, "of_stream": state.stream_id}
        answers.append({**of, "content": content, "reasoning": reasoning})
        ages.append({"of_session": state.session_id, "updated_at": ended_at})
    _END.run(connection, ends)
    _ANSWER.run(connection, answers)
    _AGE.run(connection, ages)
    _FOLD.run(connection, [{"of_message": change.state.message_id} for change in group])
    return [None] * len(group)


# ---- sessions -----------------------------------------------------------------------------------------------


def _rename(connection: Connection, _: int, group: list[Rename]) -> Results:
    results: list[Result] = []
    for owner, session_id, title in group:
        own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
        done = connection.execute(update(sessions).where(*own).values(title=title))
        results.append(None if done.rowcount else SessionNotFound())
    return results


def _configure(connection: Connection, _: int, group: list[Configure]) -> Results:
    results: list[Result] = []
    room = Room(connection)
    for change in group:
        owner, session_id, options, limits = change
        if limits is not None and (no_room := _no_room(connection, room, change)) is not None:
            results.append(no_room)
            continue
        own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
        done = connection.execute(update(sessions).where(*own).values(options=options_json(options)))
        results.append(None if done.rowcount else SessionNotFound())
    return results


def _no_room(connection: Connection, room: Room, change: Configure) -> Refused | None:
    """Return the error if the options are longer than the old ones, and there is no room for that."""
    owner, session_id, options, limits = change
    own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
    found = connection.execute(select(octet_length(sessions.c.options)).where(*own)).one_or_none()
    if limits is None or found is None:
        return None
    more = of_options(options) - (found[0] or 0)
    return room.take(owner, more, limits) if more > 0 else None


def _delete(connection: Connection, _: int, group: list[Delete]) -> Results:
    results: list[Result] = []
    for owner, session_id in group:
        own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
        answers = select(streams.c.message_id).join(sessions).where(*own)
        connection.execute(delete(pieces).where(pieces.c.message_id.in_(answers)))
        done = connection.execute(delete(sessions).where(*own))
        if done.rowcount:
            drop_earlier(connection, owner, session_id)
        results.append(None if done.rowcount else SessionNotFound())
    return results


def _interrupt(connection: Connection, node: int, group: list[Interrupt]) -> Results:
    taken_up = {change.goes_on for change in group if change.goes_on is not None}
    if taken_up:
        take_up(connection, node, taken_up)
    living = taken_up.union(*(change.living for change in group))
    seen = [one for change in group for one in change.seen]
    end_unfinished(connection, {change.session_id for change in group}, living, seen)
    return [None] * len(group)


def _halt(connection: Connection, _: int, group: list[Halt]) -> Results:
    for session_id, stream_id in group:
        halt(connection, session_id, stream_id)
    return [None] * len(group)


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
    SetAside: set_aside,
    BringBack: bring_back,
    Expire: expire,
    GiveUp: give_up,
    Begin: begin,
    Fill: fill,
    Reveal: reveal,
    Hide: hide,
    Prune: prune,
    Interrupt: _interrupt,
    Halt: _halt,
    Mark: _mark,
}
