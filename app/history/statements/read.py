"""The statements that read the history, and the conversion of rows to records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, or_, select, tuple_

from app.chat.contents import Image, Problem
from app.chat.errors import ImageNotFound, SessionNotFound, StreamNotFound
from app.chat.figures import completion_tokens, tokens_per_second
from app.chat.ports import ImageData, Options, Usage
from app.chat.records import KnownKey, Message, SessionHead, SessionInfo, StreamState
from app.chat.states import Outcome, Status
from app.history.statements.tables import Name, images, keys, messages, sessions, storable, streams

Holds = Callable[[ColumnElement[str], str], ColumnElement[bool]]  # see `Database.holds`

_INFO = (
    sessions.c.session_id,
    sessions.c.title,
    sessions.c.created_at,
    sessions.c.updated_at,
    sessions.c.options,
)
_SESSION_ID = bindparam("session_id", type_=Name)
_OWNER = select(sessions.c.owner).where(sessions.c.session_id == _SESSION_ID)
_SESSION = select(sessions.c.owner, *_INFO).where(sessions.c.session_id == _SESSION_ID)
# A prompt and its answer have the same stream_id, but streams.message_id names the answer only, so the join shows
# figures on answers alone. If several streams wrote an answer, its stream_id is that of the last one.
_MESSAGES = (
    select(
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
    )
    .select_from(
        messages.outerjoin(
            streams,
            and_(streams.c.stream_id == messages.c.stream_id, streams.c.message_id == messages.c.message_id),
        )
    )
    .where(messages.c.session_id == _SESSION_ID)
    .order_by(messages.c.place)
)
_IMAGES = (
    select(images.c.message_id, images.c.image_id, images.c.media_type, images.c.size)
    .where(images.c.session_id == _SESSION_ID)
    .order_by(images.c.message_id, images.c.number)
)
_IMAGE = (
    select(images.c.media_type, images.c.data, sessions.c.owner)
    .join(sessions)
    .where(images.c.image_id == bindparam("image_id", type_=Name))
)
_STANDING = select(sessions.c.owner, sessions.c.options).where(sessions.c.session_id == _SESSION_ID)
_NEWEST = (
    select(messages.c.message_id, messages.c.stream_id)
    .where(messages.c.session_id == _SESSION_ID)
    .order_by(messages.c.place.desc())
    .limit(1)
)
_STREAM = (
    select(streams, sessions.c.owner)
    .join(sessions)
    .where(streams.c.stream_id == bindparam("stream_id", type_=Name))
)
_KEY = (
    select(keys.c.stream_id, keys.c.request_hash)
    .where(keys.c.session_id == _SESSION_ID)
    .where(keys.c.key == bindparam("key"))
)


def read_owner(connection: Connection, session_id: str) -> str | None:
    """Return the owner of a session, `None` if there is no such session."""
    found: str | None = connection.scalar(_OWNER, {"session_id": session_id})
    return found


def read_key(connection: Connection, session_id: str, key: str) -> KnownKey | None:
    """Return the stream and the request hash of an idempotency key, `None` if it is unknown."""
    row = (connection.execute(_KEY, {"session_id": session_id, "key": key})).one_or_none()
    return KnownKey(row.stream_id, row.request_hash) if row else None


def read_session(connection: Connection, owner: str, session_id: str) -> SessionInfo:
    """Return a session. Raises `SessionNotFound`."""
    row = (connection.execute(_SESSION, {"session_id": session_id})).one_or_none()
    if row is None or row.owner != owner:
        raise SessionNotFound()
    return _info(row)


def read_messages(connection: Connection, session_id: str) -> list[Message]:
    """Return the messages of a session, oldest first."""
    of = {"session_id": session_id}
    found = [_message(row) for row in connection.execute(_MESSAGES, of)]
    shown: dict[str, list[Image]] = {}
    for message_id, *image in connection.execute(_IMAGES, of):
        shown.setdefault(message_id, []).append(Image(*image))
    for message in found if shown else ():
        message.images = shown.get(message.message_id, [])
    return found


def read_image(connection: Connection, owner: str, image_id: str) -> ImageData:
    """Return an image. Raises `ImageNotFound`."""
    row = connection.execute(_IMAGE, {"image_id": image_id}).one_or_none()
    if row is None or row.owner != owner:
        raise ImageNotFound()
    return ImageData(row.media_type, row.data)


def read_head(connection: Connection, owner: str, session_id: str) -> tuple[SessionHead, str | None]:
    """Return the newest message and the options of a session, and the stream of that message.

    Raises `SessionNotFound` if the session belongs to another owner.
    """
    of = {"session_id": session_id}
    session = connection.execute(_STANDING, of).one_or_none()
    if session is None:
        return SessionHead(), None
    if session.owner != owner:
        raise SessionNotFound()
    newest = connection.execute(_NEWEST, of).one_or_none()
    message_id, stream_id = newest or (None, None)
    return SessionHead(message_id, _options(session.options)), stream_id


def read_stream(connection: Connection, owner: str, stream_id: str) -> StreamState:
    """Return the state of a stream. Raises `StreamNotFound`."""
    row = (connection.execute(_STREAM, {"stream_id": stream_id})).one_or_none()
    if row is None or row.owner != owner:
        raise StreamNotFound()
    return state_of(row)


def read_sessions(
    connection: Connection, holds: Holds, owner: str, words: Sequence[str], after: str | None, limit: int
) -> list[SessionInfo]:
    """Return up to `limit` sessions that contain all of `words`, newest first, after the cursor `after`."""
    wanted = select(*_INFO).where(sessions.c.owner == owner)
    said = select(messages.c.place).where(messages.c.session_id == sessions.c.session_id)
    for word in map(storable, words):
        wanted = wanted.where(
            or_(holds(sessions.c.title, word), said.where(holds(messages.c.content, word)).exists())
        )
    age = (sessions.c.updated_at, sessions.c.session_id)
    if after is not None:
        time, _, session_id = storable(after).partition(" ")
        wanted = wanted.where(tuple_(*age) < tuple_(time, session_id))
    newest_first = wanted.order_by(*(column.desc() for column in age)).limit(limit)
    return [_info(row) for row in connection.execute(newest_first)]


def _info(row: Row[*tuple[Any, ...]]) -> SessionInfo:
    return SessionInfo(
        session_id=row.session_id,
        title=row.title,
        created_at=row.created_at,
        updated_at=row.updated_at,
        options=_options(row.options),
    )


def _options(kept: str | None) -> Options:
    return msgspec.json.decode(kept, type=Options) if kept else Options()


def _message(row: Row[*tuple[Any, ...]]) -> Message:
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
