"""The statements that read and restore a whole session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, func, select

from app.chat.archive import Archive, ArchivedKey, ArchivedMessage
from app.chat.errors import ArchiveTooLarge, Refused, SessionExists
from app.chat.records import KnownKey
from app.history.archive_records import archived, states_of
from app.history.statements.admit import stream_row
from app.history.statements.octet_length import octet_length
from app.history.statements.read import read_messages, read_session, state_of
from app.history.statements.tables import Name, images, keys, messages, options_json, sessions, streams
from app.history.write_queue.changes import Restore

_OF = bindparam("of_session", type_=Name)


def read_archive(connection: Connection, owner: str, session_id: str, most: int | None) -> Archive:
    """Return a whole session. Raises `SessionNotFound`, or `ArchiveTooLarge` above `most` bytes of text and images."""
    info = read_session(connection, owner, session_id)
    if most is not None and _size(connection, session_id) > most:
        raise ArchiveTooLarge(f"This chat is larger than {most} bytes.")
    of = {"of_session": session_id}
    return archived(
        info,
        read_messages(connection, session_id),
        [(row.created_at, state_of(row)) for row in connection.execute(_STREAMS, of)],
        {row.key: KnownKey(row.stream_id, row.request_hash) for row in connection.execute(_KEYS, of)},
        {row.image_id: bytes(row.data) for row in connection.execute(_IMAGES, of)},
    )


def _size(connection: Connection, session_id: str) -> int:
    found = [connection.execute(part, {"of_session": session_id}).scalar_one() for part in _SIZES]
    return sum(map(int, found))


_SIZES = (
    select(
        func.coalesce(func.sum(octet_length(messages.c.content) + octet_length(messages.c.reasoning)), 0)
    ).where(messages.c.session_id == _OF),
    select(func.coalesce(func.sum(images.c.size), 0)).where(images.c.session_id == _OF),
)
_IMAGES = select(images.c.image_id, images.c.data).where(images.c.session_id == _OF)
_STREAMS = select(streams).where(streams.c.session_id == _OF)
_KEYS = select(keys).where(keys.c.session_id == _OF)


# ---- restoring -----------------------------------------------------------------------------------------------


def restore(connection: Connection, node: int, group: Sequence[Restore]) -> list[Refused | None]:
    """Store these whole sessions; return for each the error that refused it, or `None`."""
    return [_restore(connection, node, change.owner, change.archive) for change in group]


def _restore(connection: Connection, node: int, owner: str, archive: Archive) -> Refused | None:
    of = {"session_id": archive.session_id}
    found = select(sessions.c.session_id).where(sessions.c.session_id == archive.session_id)
    if connection.scalar(found) is not None:
        return SessionExists("A chat with this ID already exists.")
    session = {**of, "owner": owner, "title": archive.title, "options": options_json(archive.options)}
    times = {"created_at": archive.created_at, "updated_at": archive.updated_at}
    connection.execute(sessions.insert(), {**session, **times})
    every = {
        messages: [_message_row(message) for message in archive.messages],
        images: [row for message in archive.messages for row in _image_rows(message)],
        streams: _stream_rows(archive, node),
        keys: [_key_row(key) for key in archive.keys],
    }
    for table, rows in every.items():
        if rows:
            connection.execute(table.insert(), [{**of, **row} for row in rows])
    return None


def _message_row(message: ArchivedMessage) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(message).items() if name != "images"}


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


def _stream_rows(archive: Archive, node: int) -> list[dict[str, Any]]:
    return [
        {**stream_row(state), "continues": stream.continues, "created_at": stream.created_at, "node": node}
        for stream, state in zip(archive.streams, states_of(archive), strict=True)
    ]


def _key_row(key: ArchivedKey) -> dict[str, Any]:
    return {"key": key.key, "stream_id": key.stream_id, "request_hash": key.request_hash}
