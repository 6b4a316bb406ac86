"""The statements that store a prompt and its empty answer, or assign an interrupted answer to a new stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select, update

from app.chat.errors import AnswerMoved, BeingDeleted, CannotContinue, Refused, SessionNotFound
from app.chat.records import Admission, Exchange, Message, StreamState
from app.chat.scoped_ids import owner_of
from app.chat.titles import title_of
from app.history.statements.make_way import is_kept, make_way
from app.history.statements.prepared import Prepared
from app.history.statements.read import read_key, read_options, read_owner
from app.history.statements.room import Room
from app.history.statements.tables import (
    DELETED,
    HIDDEN,
    Name,
    images,
    keys,
    messages,
    options_json,
    sessions,
    streams,
)
from app.history.statements.use import lock_owners, use_refusal
from app.history.stored_bytes import of_exchange
from app.history.write_queue.changes import Admit

Result = Admission | Refused | None
Results = Sequence[Result]


def admit(connection: Connection, node: int, group: Sequence[Admit]) -> Results:
    """Store these exchanges; return for each the state of its session before, or the error that refused it."""
    exchanges = [change.exchange for change in group]
    room = Room(connection)
    lock_owners(connection, [change.exchange.owner for change in group if change.use is not None])
    known = [
        _known(connection, change.exchange) or _over_use(connection, change) or _room_for(change, room)
        for change in group
    ]
    _age(connection, [exchange for exchange, repeated in zip(exchanges, known, strict=True) if not repeated])
    results: list[Admission | Refused] = []
    kept: list[Exchange] = []
    for exchange, repeated in zip(exchanges, known, strict=True):
        result = repeated or _admitted(connection, exchange)
        results.append(result)
        if isinstance(result, Admission) and result.known is None:
            kept.append(exchange)
    if kept:
        _keep(connection, node, kept)
    return results


def _over_use(connection: Connection, change: Admit) -> Refused | None:
    """Return the error if the owner has too much in progress on all nodes.

    Prompts of one batch do not count yet; all of them came to this node, which counts them by itself.
    """
    return None if change.use is None else use_refusal(connection, change.exchange, change.use)


def _room_for(change: Admit, room: Room) -> Refused | None:
    """Return the error if there is no room for the exchange. A repeated one needs none."""
    exchange, limits = change.exchange, change.limits
    if limits is None:
        return None
    return room.take_for_prompt(exchange.owner, exchange.session_id, of_exchange(exchange), limits)


def _known(connection: Connection, exchange: Exchange) -> Admission | None:
    """Return the earlier registration with the exchange's idempotency key."""
    if exchange.key is None or read_owner(connection, exchange.session_id) != exchange.owner:
        return None
    known = read_key(connection, exchange.session_id, exchange.key)
    return Admission(known=known) if known else None


def _admitted(connection: Connection, exchange: Exchange) -> Admission | Refused:
    owner, options, newest = _head(connection, exchange)
    if exchange.asks and _was_own(connection, owner, exchange):
        if owner == HIDDEN or not make_way(connection, exchange.owner, exchange.session_id):
            return BeingDeleted()  # piece by piece, in other transactions: see `SqlHistory.admit`
        _age(connection, [exchange])
        owner, options, newest = _head(connection, exchange)
    if owner != exchange.owner:
        return SessionNotFound()
    if exchange.unasked and _is_halted(connection, str(exchange.stream.continues)):
        return CannotContinue("This answer was stopped by its user.")
    if exchange.stream.continues is not None and not _take_over(connection, exchange):
        return AnswerMoved("This answer is already being continued.")
    return Admission(newest, read_options(options))


def _was_own(connection: Connection, owner: str | None, exchange: Exchange) -> bool:
    """Return whether a session was deleted by the exchange's owner."""
    if owner == HIDDEN:
        return owner_of(exchange.session_id) == exchange.owner
    return owner == DELETED and is_kept(connection, exchange.owner, exchange.session_id)


def _head(connection: Connection, exchange: Exchange) -> tuple[Any, ...]:
    """Return the owner, the options and the newest message of a session."""
    return _HEAD.one(connection, {"of_session": exchange.session_id}) or (None, None, None)


# ---- the session ---------------------------------------------------------------------------------------------


def _touch(insert: Any) -> Any:
    """The first prompt creates the session; later ones only update `updated_at`."""
    statement = insert(sessions)
    return statement.on_conflict_do_update(
        index_elements=["session_id"],
        set_={"updated_at": statement.excluded.updated_at},
        where=sessions.c.owner == statement.excluded.owner,
    )


_TOUCH = Prepared(
    _touch,
    ("session_id", "owner", "title", "created_at", "updated_at"),
)
_OF_SESSION = bindparam("of_session", type_=Name)
_OF_OWNER = bindparam("of_owner", type_=Name)
_OWN = update(sessions).where(sessions.c.session_id == _OF_SESSION, sessions.c.owner == _OF_OWNER)


def _age(connection: Connection, exchanges: Sequence[Exchange]) -> None:
    if asked := [_session_row(exchange) for exchange in exchanges if exchange.asks]:
        _TOUCH.run(connection, asked)
    if others := [
        {**_session_key(exchange), "updated_at": exchange.created_at}
        for exchange in exchanges
        if not exchange.asks
    ]:
        connection.execute(_OWN, others)


def _session_key(exchange: Exchange) -> dict[str, str]:
    return {"of_session": exchange.session_id, "of_owner": exchange.owner}


def _session_row(exchange: Exchange) -> dict[str, Any]:
    return {
        "session_id": exchange.session_id,
        "owner": exchange.owner,
        "title": title_of(exchange.prompt.content),
        "created_at": exchange.created_at,
        "updated_at": exchange.created_at,
    }


# ---- messages and streams ------------------------------------------------------------------------------------

NO_MESSAGE = ""  # the id of no message: a message whose parent does not exist follows the newest one
_SAID = messages.alias("said")
_OF_PARENT = bindparam("of_parent", type_=Name)
_IN_SESSION = select(_SAID.c.message_id).where(_SAID.c.session_id == _OF_SESSION)
_PARENT = _IN_SESSION.where(_SAID.c.message_id == _OF_PARENT).scalar_subquery()
_NEWEST = _IN_SESSION.order_by(_SAID.c.place.desc()).limit(1).scalar_subquery()
_HEAD = Prepared(
    select(sessions.c.owner, sessions.c.options, _NEWEST).where(sessions.c.session_id == _OF_SESSION)
)
# Rows are inserted one at a time, so the subquery of an answer finds its prompt.
_SAY = Prepared(
    messages.insert().values(
        parent_id=case((_OF_PARENT.is_(None), None), else_=func.coalesce(_PARENT, _NEWEST))
    ),
    ("message_id", "session_id", "stream_id", "role", "content", "reasoning", "created_at"),
)
_BEGIN = Prepared(streams.insert())
_AT_REGISTRATION = {
    "session_id",
    "created_at",
    "node",
    "continues",
    "request",
    "halted",
}  # the columns that are set once
_KEY = Prepared(keys.insert())


def _keep(connection: Connection, node: int, exchanges: Sequence[Exchange]) -> None:
    for exchange in exchanges:
        if exchange.remember is not None:
            connection.execute(_OWN, {**_session_key(exchange), "options": options_json(exchange.remember)})
    if said := [_message_row(exchange, message) for exchange in exchanges for message in _new(exchange)]:
        _SAY.run(connection, said)
    if shown := [row for exchange in exchanges for row in _image_rows(exchange)]:
        connection.execute(images.insert(), shown)
    _BEGIN.run(connection, [_begun(exchange, node) for exchange in exchanges])
    if keyed := [_key_row(exchange) for exchange in exchanges if exchange.key is not None]:
        _KEY.run(connection, keyed)


def _new(exchange: Exchange) -> Sequence[Message]:
    """Return the messages to insert: none if the answer is continued."""
    if exchange.stream.continues is not None:
        return ()
    return (exchange.prompt, exchange.answer) if exchange.asks else (exchange.answer,)


def _is_halted(connection: Connection, stream_id: str) -> bool:
    """Return whether only the user may continue the answer of a stream."""
    found = connection.scalar(select(streams.c.halted).where(streams.c.stream_id == stream_id))
    return bool(found)


def _take_over(connection: Connection, exchange: Exchange) -> bool:
    """Assign the answer to the new stream if it still belongs to the continued one; return whether it did."""
    done = connection.execute(
        update(messages)
        .where(
            messages.c.session_id == exchange.session_id,
            messages.c.message_id == exchange.answer.message_id,
            messages.c.stream_id == exchange.stream.continues,
        )
        .values(stream_id=exchange.stream.stream_id)
    )
    return bool(done.rowcount)


def _message_row(exchange: Exchange, message: Message) -> dict[str, Any]:
    follows_newest = exchange.follows_newest and message is exchange.prompt
    return {
        "message_id": message.message_id,
        "session_id": exchange.session_id,
        "of_session": exchange.session_id,
        "of_parent": NO_MESSAGE if follows_newest else message.parent_id,
        "stream_id": message.stream_id,
        "role": message.role,
        "content": message.content,
        "reasoning": message.reasoning,
        "created_at": message.created_at,
    }


def _image_rows(exchange: Exchange) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image.image_id,
            "session_id": exchange.session_id,
            "message_id": exchange.prompt.message_id,
            "number": number,
            "media_type": image.media_type,
            "size": image.size,
            "data": picture.data,
        }
        for number, (image, picture) in enumerate(
            zip(exchange.prompt.images, exchange.pictures, strict=True) if exchange.asks else ()
        )
    ]


def _begun(exchange: Exchange, node: int) -> dict[str, Any]:
    return {
        **stream_row(exchange.stream),
        "session_id": exchange.session_id,
        "created_at": exchange.created_at,
        "node": node,
        "continues": exchange.stream.continues,
        "request": options_json(exchange.options),
        "halted": None,
    }


def _key_row(exchange: Exchange) -> dict[str, Any]:
    return {
        "session_id": exchange.session_id,
        "key": exchange.key,
        "stream_id": exchange.stream.stream_id,
        "request_hash": exchange.request_hash,
    }


# The columns of `stream_row` without the key.
FIGURES = tuple(
    column.name for column in streams.columns if column.name not in _AT_REGISTRATION | {"stream_id"}
)


def stream_row(state: StreamState) -> dict[str, Any]:
    """Return the row of a stream, without the columns that are set once at registration."""
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
        "reasoning_tokens": state.reasoning_tokens,
        "thought_ms": state.thought_ms,
        "upstream_closed": state.upstream_closed,
        "prompt_tokens": state.usage.prompt_tokens if state.usage else None,
        "completion_tokens": state.usage.completion_tokens if state.usage else None,
        "error_code": state.error.code if state.error else None,
        "error_message": state.error.message if state.error else None,
    }
