"""The statements that read a session as a whole, and that put it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select
from sqlalchemy.sql import Select

from app.history.changes import Restore
from app.history.reading import read_session
from app.history.tables import Name, images, keys, messages, options_json, sessions, streams
from app.streams.archive import Archive, ArchivedImage, ArchivedKey, ArchivedMessage, ArchivedStream
from app.streams.errors import ArchiveTooLarge, Refused, SessionExists
from app.streams.events import Problem
from app.streams.ports import Usage
from app.streams.states import Outcome, Status

_OF = bindparam("of_session", type_=Name)


def read_archive(connection: Connection, owner: str, session_id: str, most: int | None) -> Archive:
    """Return everything of a session. Raises `SessionNotFound`, `ArchiveTooLarge`."""
    info = read_session(connection, owner, session_id)
    if most is not None and _size(connection, session_id) > most:
        raise ArchiveTooLarge(f"This session is larger than {most} bytes.")

    def rows(statement: Select[Any]) -> Sequence[Row[Any]]:
        return connection.execute(statement, {"of_session": session_id}).all()

    shown: dict[str, list[ArchivedImage]] = {}
    for row in rows(_IMAGES):
        picture = ArchivedImage(image_id=row.image_id, media_type=row.media_type, data=bytes(row.data))
        shown.setdefault(row.message_id, []).append(picture)
    return Archive(
        kind="tailrace-session",
        version=1,
        session_id=session_id,
        title=info.title,
        created_at=info.created_at,
        updated_at=info.updated_at,
        options=info.options,
        messages=[_message(row, shown.get(row.message_id, [])) for row in rows(_MESSAGES)],
        streams=[_stream(row) for row in rows(_STREAMS)],
        keys=[ArchivedKey(row.key, row.stream_id, row.request_hash) for row in rows(_KEYS)],
    )


def _size(connection: Connection, session_id: str) -> int:
    found = [connection.execute(part, {"of_session": session_id}).scalar_one() for part in _SIZES]
    return sum(map(int, found))


_SIZES = (
    select(
        func.coalesce(func.sum(func.length(messages.c.content) + func.length(messages.c.reasoning)), 0)
    ).where(messages.c.session_id == _OF),
    select(func.coalesce(func.sum(images.c.size), 0)).where(images.c.session_id == _OF),
)
_MESSAGES = select(messages).where(messages.c.session_id == _OF).order_by(messages.c.place)
_IMAGES = select(images).where(images.c.session_id == _OF).order_by(images.c.message_id, images.c.number)
# Streams have no place of their own. Where the time does not tell, any order will do, as long as it is one.
_STREAMS = (
    select(streams)
    .where(streams.c.session_id == _OF)
    .order_by(streams.c.created_at.nulls_first(), streams.c.stream_id)
)
_KEYS = select(keys).where(keys.c.session_id == _OF).order_by(keys.c.key)


def _message(row: Row[Any], shown: list[ArchivedImage]) -> ArchivedMessage:
    return ArchivedMessage(
        message_id=row.message_id,
        parent_id=row.parent_id,
        role=row.role,
        content=row.content,
        reasoning=row.reasoning,
        stream_id=row.stream_id,
        created_at=row.created_at,
        images=shown,
    )


def _stream(row: Row[Any]) -> ArchivedStream:
    return ArchivedStream(
        stream_id=row.stream_id,
        message_id=row.message_id,
        continues=row.continues,
        created_at=row.created_at,
        model=row.model,
        outcome=Outcome(row.outcome) if row.outcome else None,
        finish_reason=row.finish_reason,
        tokens=row.tokens,
        duration_ms=row.duration_ms,
        ttft_ms=row.ttft_ms,
        upstream_closed=row.upstream_closed,
        usage=None if row.prompt_tokens is None else Usage(row.prompt_tokens, row.completion_tokens),
        error=Problem(row.error_code, row.error_message) if row.error_code else None,
    )


# ---- putting back --------------------------------------------------------------------------------------------


def restore(connection: Connection, node: int, group: Sequence[Restore]) -> list[Refused | None]:
    """Keep these sessions as a whole; return for each why it was refused, `None` if it was not."""
    return [_restore(connection, node, change.owner, change.archive) for change in group]


def _restore(connection: Connection, node: int, owner: str, archive: Archive) -> Refused | None:
    of = {"session_id": archive.session_id}
    found = select(sessions.c.session_id).where(sessions.c.session_id == archive.session_id)
    if connection.scalar(found) is not None:
        return SessionExists(f"There is a session {archive.session_id} already.")
    session = {**of, "owner": owner, "title": archive.title, "options": options_json(archive.options)}
    times = {"created_at": archive.created_at, "updated_at": archive.updated_at}
    connection.execute(sessions.insert(), {**session, **times})
    every = {
        messages: [_message_row(message) for message in archive.messages],
        images: [row for message in archive.messages for row in _image_rows(message)],
        streams: [{**_stream_row(stream), "node": node} for stream in archive.streams],
        keys: [_key_row(key) for key in archive.keys],
    }
    for table, rows in every.items():
        if rows:
            connection.execute(table.insert(), [{**of, **row} for row in rows])
    return None


def _message_row(message: ArchivedMessage) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "parent_id": message.parent_id,
        "role": message.role,
        "content": message.content,
        "reasoning": message.reasoning,
        "stream_id": message.stream_id,
        "created_at": message.created_at,
    }


def _image_rows(message: ArchivedMessage) -> list[dict[str, Any]]:
    return [
        {
            "image_id": picture.image_id,
            "message_id": message.message_id,
            "number": number,
            "media_type": picture.media_type,
            "size": len(picture.data),
            "data": picture.data,
        }
        for number, picture in enumerate(message.images)
    ]


def _stream_row(stream: ArchivedStream) -> dict[str, Any]:
    return {
        "stream_id": stream.stream_id,
        "message_id": stream.message_id,
        "continues": stream.continues,
        "created_at": stream.created_at,
        "model": stream.model,
        "status": str(Status.ENDED),
        "outcome": str(stream.outcome or Outcome.INTERRUPTED),
        "finish_reason": stream.finish_reason,
        "tokens": stream.tokens,
        "duration_ms": stream.duration_ms,
        "ttft_ms": stream.ttft_ms,
        "upstream_closed": stream.upstream_closed,
        "prompt_tokens": stream.usage.prompt_tokens if stream.usage else None,
        "completion_tokens": stream.usage.completion_tokens if stream.usage else None,
        "error_code": stream.error.code if stream.error else None,
        "error_message": stream.error.message if stream.error else None,
    }


def _key_row(key: ArchivedKey) -> dict[str, Any]:
    return {"key": key.key, "stream_id": key.stream_id, "request_hash": key.request_hash}
