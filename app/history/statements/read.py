"""The statements that read the history, and the conversion of rows to records."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, func, or_, select, tuple_
from sqlalchemy import exc as sql

from app.chat.contents import Image, Problem
from app.chat.errors import ImageNotFound, SessionNotFound, StreamNotFound
from app.chat.figures import completion_tokens, tokens_per_second
from app.chat.ports import ImageData, Options, Usage
from app.chat.records import KnownKey, Message, SessionInfo, StreamState
from app.chat.states import Outcome, Status
from app.chat.storable import storable
from app.history.statements.prepared import Prepared
from app.history.statements.tables import DELETED, IS_RUNNING, Name, images, keys, messages, sessions, streams

LIST_CHARACTERS = 1_000_000  # of the options of the sessions in one part of the list


class Found(NamedTuple):
    """A part of the list of sessions, and whether it has all that were asked for."""

    sessions: list[SessionInfo]
    is_complete: bool


Holds = Callable[[ColumnElement[str], str], ColumnElement[bool]]  # see `Database.holds`

_INFO = (
    sessions.c.session_id,
    sessions.c.title,
    sessions.c.created_at,
    sessions.c.updated_at,
    sessions.c.options,
)
_SESSION_ID = bindparam("session_id", type_=Name)
_OWNER = Prepared(
    select(sessions.c.owner).where(sessions.c.session_id == _SESSION_ID, sessions.c.owner != DELETED)
)
_SESSION = Prepared(select(sessions.c.owner, *_INFO).where(sessions.c.session_id == _SESSION_ID))
# A prompt and its answer have the same stream_id, but streams.message_id names the answer only, so the join shows
# figures on answers alone. If several streams wrote an answer, its stream_id is that of the last one.
_WITH_STREAMS = select(
    messages.c.message_id,
    messages.c.parent_id,
    messages.c.role,
    messages.c.content,
    messages.c.reasoning,
    messages.c.stream_id,
    messages.c.created_at,
    streams.c.outcome,
    streams.c.finish_reason,
    streams.c.model,
    streams.c.error_code,
    streams.c.error_message,
    streams.c.tokens,
    streams.c.duration_ms,
    streams.c.ttft_ms,
    streams.c.reasoning_tokens,
    streams.c.thought_ms,
    streams.c.prompt_tokens,
    streams.c.completion_tokens,
).select_from(
    messages.outerjoin(
        streams,
        and_(streams.c.stream_id == messages.c.stream_id, streams.c.message_id == messages.c.message_id),
    )
)
# Nearly no session has images, and a statement costs more than this column.
_HAS_IMAGES = select(images.c.image_id).where(images.c.session_id == _SESSION_ID).exists().label("has_images")
_IN_ORDER = (
    _WITH_STREAMS.add_columns(_HAS_IMAGES)
    .where(messages.c.session_id == _SESSION_ID)
    .order_by(messages.c.place)
)
_MESSAGES = Prepared(_IN_ORDER)
_SIZE = select(sessions.c.bytes).where(sessions.c.session_id == _SESSION_ID).scalar_subquery()
_SMALL = Prepared(_IN_ORDER.where(_SIZE.between(0, bindparam("most_bytes"))).limit(bindparam("most_rows")))
_SHOWN = select(images.c.message_id, images.c.image_id, images.c.media_type, images.c.size).order_by(
    images.c.message_id, images.c.number
)
_IMAGES = Prepared(_SHOWN.where(images.c.session_id == _SESSION_ID))
_IMAGE = (
    select(images.c.media_type, images.c.data, sessions.c.owner)
    .join(sessions)
    .where(images.c.image_id == bindparam("image_id", type_=Name))
)
_STREAM = (
    select(streams, sessions.c.owner)
    .join(sessions)
    .where(streams.c.stream_id == bindparam("stream_id", type_=Name))
)
_RUNNING = (
    select(streams.c.stream_id)
    .join(sessions)
    .where(streams.c.session_id == _SESSION_ID, IS_RUNNING)
    .where(sessions.c.owner == bindparam("owner", type_=Name))
    .order_by(streams.c.created_at, streams.c.stream_id)
)
_KEY = (
    select(keys.c.stream_id, keys.c.request_hash)
    .where(keys.c.session_id == _SESSION_ID)
    .where(keys.c.key == bindparam("key"))
)


def read_owner(connection: Connection, session_id: str) -> str | None:
    """Return the owner of a session, `None` if there is no such session, or if it was deleted."""
    found = _OWNER.one(connection, {"session_id": session_id})
    return None if found is None else found[0]


def read_key(connection: Connection, session_id: str, key: str) -> KnownKey | None:
    """Return the stream and the request hash of an idempotency key, `None` if it is unknown."""
    row = (connection.execute(_KEY, {"session_id": session_id, "key": key})).one_or_none()
    return KnownKey(row.stream_id, row.request_hash) if row else None


def read_session(connection: Connection, owner: str, session_id: str) -> SessionInfo:
    """Return a session. Raises `SessionNotFound`."""
    rows = _SESSION.all(connection, {"session_id": session_id})
    if not rows or rows[0].owner != owner:
        raise SessionNotFound()
    return _info(rows[0])


def read_messages(connection: Connection, session_id: str) -> list[Message]:
    """Return the messages of a session, oldest first."""
    return _with_their_images(connection, session_id, _MESSAGES.all(connection, {"session_id": session_id}))


def read_small(
    connection: Connection, session_id: str, most_messages: int, most_bytes: int
) -> list[Message] | None:
    """Return the same; `None` if there are more messages or bytes of them, or none."""
    rows = _SMALL.all(
        connection, {"session_id": session_id, "most_bytes": most_bytes, "most_rows": most_messages + 1}
    )
    if not rows or len(rows) > most_messages:
        return None
    return _with_their_images(connection, session_id, rows)


def _with_their_images(
    connection: Connection, session_id: str, rows: Sequence[Row[*tuple[Any, ...]]]
) -> list[Message]:
    found = list(map(message_of, rows))
    if rows and rows[0].has_images:
        _add_images(found, _IMAGES.all(connection, {"session_id": session_id}))
    return found


def messages_with_streams(session_id: str) -> Select[Any]:
    """Return the query for messages of a session that are named by their ids; see `message_of`."""
    # SQLite would rather go through all messages of the session than look up each id.
    return _WITH_STREAMS.where(func.coalesce(messages.c.session_id, "") == session_id)


def with_images(connection: Connection, found: Sequence[Message], of: ColumnElement[bool]) -> None:
    """Add to messages those of their images that are meant by a condition."""
    _add_images(found, connection.execute(_SHOWN.where(of)))


def _add_images(found: Sequence[Message], rows: Iterable[Any]) -> None:
    shown: dict[str, list[Image]] = {}
    for message_id, *image in rows:
        shown.setdefault(message_id, []).append(Image(*image))
    for message in found if shown else ():
        message.images = shown.get(message.message_id, [])


def read_image(connection: Connection, owner: str, image_id: str) -> ImageData:
    """Return an image. Raises `ImageNotFound`."""
    row = connection.execute(_IMAGE, {"image_id": image_id}).one_or_none()
    if row is None or row.owner != owner:
        raise ImageNotFound()
    return ImageData(row.media_type, row.data)


def read_image_sizes(connection: Connection, owner: str, image_ids: Collection[str]) -> dict[str, int]:
    """Return the sizes of images in bytes, by id. Raises `ImageNotFound` if one of them does not exist."""
    found = connection.execute(
        select(images.c.image_id, images.c.size)
        .join(sessions)
        .where(images.c.image_id.in_(image_ids), sessions.c.owner == owner)
    )
    sizes = {row.image_id: row.size for row in found}
    if len(sizes) < len(set(image_ids)):
        raise ImageNotFound()
    return sizes


def read_stream(connection: Connection, owner: str, stream_id: str) -> StreamState:
    """Return the state of a stream. Raises `StreamNotFound`."""
    row = (connection.execute(_STREAM, {"stream_id": stream_id})).one_or_none()
    if row is None or row.owner != owner:
        raise StreamNotFound()
    return state_of(row)


def read_running(connection: Connection, owner: str, session_id: str) -> list[str]:
    """Return the streams of a session that have not ended, oldest first."""
    return list(connection.scalars(_RUNNING, {"session_id": session_id, "owner": owner}))


def read_sessions(connection: Connection, owner: str, after: str | None, limit: int) -> Found:
    """Return up to `limit` sessions, newest first, after the cursor `after`; fewer if their options are long."""
    found: list[SessionInfo] = []
    return Found(found, _take(found, connection.execute(_listed(owner, (), after, limit))))


def search_sessions(
    connection: Connection, holds: Holds, owner: str, words: Sequence[str], after: str | None, limit: int
) -> Found:
    """Return up to `limit` sessions that contain all of `words`, newest first, after the cursor `after`.

    A search that is interrupted has those that it found until then. Raises the database's error if there are none.
    """
    said = select(messages.c.place).where(messages.c.session_id == sessions.c.session_id)
    matches = [
        or_(holds(sessions.c.title, word), said.where(holds(messages.c.content, word)).exists())
        for word in map(storable, words)
    ]
    found: list[SessionInfo] = []
    try:
        # Row by row: what came before an interrupt stays in the list.
        is_complete = _take(found, connection.execute(_listed(owner, matches, after, limit)))
    except sql.OperationalError:
        if not found:
            raise
        return Found(found, is_complete=False)
    return Found(found, is_complete)


def _take(found: list[SessionInfo], rows: Iterable[Row[*tuple[Any, ...]]]) -> bool:
    """Add the sessions of these rows. Return whether all of them were added: system prompts may be long."""
    size = 0
    for row in rows:
        size += len(row.options or "")
        if found and size > LIST_CHARACTERS:
            return False
        found.append(_info(row))
    return True


def _listed(owner: str, matches: Sequence[ColumnElement[bool]], after: str | None, limit: int) -> Select[Any]:
    wanted = select(*_INFO).where(sessions.c.owner == owner, *matches)
    age = (sessions.c.updated_at, sessions.c.session_id)
    if after is not None:
        time, _, session_id = storable(after).partition(" ")
        wanted = wanted.where(tuple_(*age) < tuple_(time, session_id))
    return wanted.order_by(*(column.desc() for column in age)).limit(limit)


def _info(row: Row[*tuple[Any, ...]]) -> SessionInfo:
    return SessionInfo(
        session_id=row.session_id,
        title=row.title,
        created_at=row.created_at,
        updated_at=row.updated_at,
        options=read_options(row.options),
    )


def read_options(kept: str | None) -> Options:
    """Return the options of a session as stored by `options_json`."""
    return msgspec.json.decode(kept, type=Options) if kept else Options()


def message_of(row: Row[*tuple[Any, ...]]) -> Message:
    """Return a message from its row and that of its stream. It has no images yet."""
    ended = row.outcome is not None
    message = Message(
        message_id=row.message_id,
        parent_id=row.parent_id,
        role=row.role,
        content=row.content,
        reasoning=row.reasoning,
        stream_id=row.stream_id,
        outcome=Outcome(row.outcome) if ended else None,
        finish_reason=row.finish_reason,
        model=row.model,
        created_at=row.created_at,
        error=Problem(row.error_code, row.error_message) if row.error_code else None,
    )
    if ended:
        count = completion_tokens(row.tokens, row.reasoning_tokens, _usage(row))
        message.tokens, message.duration_ms = row.tokens, row.duration_ms
        message.ttft_ms, message.thought_ms = row.ttft_ms, row.thought_ms
        message.completion_tokens = count
        message.tokens_per_second = tokens_per_second(count, row.duration_ms, row.ttft_ms)
    return message


def _usage(row: Row[*tuple[Any, ...]]) -> Usage | None:
    return None if row.prompt_tokens is None else Usage(row.prompt_tokens, row.completion_tokens)


def state_of(row: Row[*tuple[Any, ...]]) -> StreamState:
    """Return the state of a stream from its row."""
    return StreamState(
        stream_id=row.stream_id,
        session_id=row.session_id,
        status=Status(row.status),
        outcome=Outcome(row.outcome) if row.outcome else None,
        finish_reason=row.finish_reason,
        model=row.model,
        message_id=row.message_id,
        continues=row.continues,
        tokens=row.tokens,
        duration_ms=row.duration_ms,
        ttft_ms=row.ttft_ms,
        reasoning_tokens=row.reasoning_tokens,
        thought_ms=row.thought_ms,
        upstream_closed=row.upstream_closed,
        usage=_usage(row),
        error=Problem(row.error_code, row.error_message) if row.error_code else msgspec.UNSET,
    )
