"""The statements that read a whole session, and store or delete one piece by piece.

A session of 100,000 messages takes seconds to store. In one transaction every prompt of others would wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Table, bindparam, delete, func, literal, select, update

from app.chat.archive import Archive, ArchivedKey, ArchivedMessage, ArchivedStream
from app.chat.errors import Refused, SessionExists, SessionNotFound
from app.chat.quotas import MESSAGE_BYTES
from app.chat.records import KnownKey
from app.history.archive_records import archived, stream_state
from app.history.statements.admit import stream_row
from app.history.statements.drop_earlier import drop_earlier
from app.history.statements.prepared import Prepared
from app.history.statements.read import read_messages, read_session, state_of
from app.history.statements.room import Room
from app.history.statements.tables import (
    HIDDEN,
    Name,
    images,
    keys,
    messages,
    options_json,
    pieces,
    sessions,
    streams,
)
from app.history.stored_bytes import of_options
from app.history.write_queue.changes import Begin, Fill, Hide, Prune, Reveal

_OF = bindparam("of_session", type_=Name)


def read_archive(connection: Connection, owner: str, session_id: str) -> Archive:
    """Return a whole session. Raises `SessionNotFound`."""
    info = read_session(connection, owner, session_id)
    of = {"of_session": session_id}
    return archived(
        info,
        read_messages(connection, session_id),
        [(row.created_at, state_of(row)) for row in connection.execute(_STREAMS, of)],
        {row.key: KnownKey(row.stream_id, row.request_hash) for row in connection.execute(_KEYS, of)},
        {row.image_id: bytes(row.data) for row in connection.execute(_IMAGES, of)},
    )


_IMAGES = select(images.c.image_id, images.c.data).where(images.c.session_id == _OF)
_STREAMS = select(streams).where(streams.c.session_id == _OF)
_KEYS = select(keys).where(keys.c.session_id == _OF)


# ---- storing -------------------------------------------------------------------------------------------------

LONG = 1000  # messages; a longer session is deleted piece by piece
LONG_BYTES = 16 * 1024 * 1024  # of images, likewise


def is_long_session(connection: Connection, session_id: str) -> bool:
    """Return whether deleting a session takes more than a moment."""
    some = select(messages.c.place).where(messages.c.session_id == session_id).limit(LONG + 1).subquery()
    count = connection.scalar(select(func.count()).select_from(some)) or 0
    size = connection.scalar(select(func.sum(images.c.size)).where(images.c.session_id == session_id)) or 0
    return count > LONG or int(size) > LONG_BYTES


PRUNED = 500  # records that `prune` deletes at a time
PRUNED_IMAGES = 4  # likewise: more would hold up the prompts of others for a tenth of a second

_SAY = Prepared(
    messages.insert(), tuple(column.name for column in messages.columns if column.name != "place")
)
_BEGIN = Prepared(streams.insert())
_KEY = Prepared(keys.insert())


def begin(connection: Connection, _: int, group: Sequence[Begin]) -> list[Refused | None]:
    """Create these hidden sessions. Those whose id exists are refused, and those whose owner has no room at all."""
    return [_begin(connection, change, Room(connection)) for change in group]


def _begin(connection: Connection, change: Begin, room: Room) -> Refused | None:
    session_id = change.session_id
    if (
        connection.scalar(select(sessions.c.session_id).where(sessions.c.session_id == session_id))
        is not None
    ):
        return SessionExists("A chat with this ID already exists.")
    if (no_room := room.take(change.owner, 1, change.limits, adds_session=True)) is not None:
        return no_room
    row = {"session_id": session_id, "owner": HIDDEN, "title": "", "created_at": "", "updated_at": ""}
    connection.execute(sessions.insert(), row)
    return None


def fill(connection: Connection, node: int, group: Sequence[Fill]) -> list[None]:
    """Add records to hidden sessions."""
    for session_id, said, wrote, known in group:
        of = {"session_id": session_id}
        if said:
            _SAY.run(connection, [of | _message_row(message) for message in said])
        if shown := [of | row for message in said for row in _image_rows(message)]:
            connection.execute(images.insert(), shown)
        if wrote:
            _BEGIN.run(connection, [of | row for row in _stream_rows(session_id, wrote, node)])
        if known:
            _KEY.run(connection, [of | _key_row(key) for key in known])
    return [None] * len(group)


_HAD = select(messages.c.stream_id).where(messages.c.session_id == _OF, messages.c.stream_id.is_not(None))
_TEXTS = (streams.c.model, streams.c.finish_reason, streams.c.error_code, streams.c.error_message)
_SPARE = (
    select(
        func.coalesce(
            func.sum(sum((func.coalesce(func.length(text), 0) for text in _TEXTS), literal(MESSAGE_BYTES))),
            0,
        )
    )
    .where(streams.c.session_id == _OF, streams.c.stream_id.not_in(_HAD))
    .scalar_subquery()
)
# No trigger counts streams: they go with messages, but for these. See `stored_bytes`.
_COUNT_SPARE = (
    update(sessions)
    .where(sessions.c.session_id == _OF, sessions.c.owner == HIDDEN)
    .values(bytes=sessions.c.bytes + _SPARE)
)


def reveal(connection: Connection, _: int, group: Sequence[Reveal]) -> list[Refused | None]:
    """Give hidden sessions to their owners, unless those have no room for them."""
    room = Room(connection)
    results: list[Refused | None] = []
    for owner, archive, limits in group:
        connection.execute(_COUNT_SPARE, {"of_session": archive.session_id})
        no_room = room.take(owner, _stored(connection, archive), limits, adds_session=True, is_stored=True)
        results.append(no_room)
        if no_room is not None:
            continue
        connection.execute(
            update(sessions)
            .where(sessions.c.session_id == archive.session_id, sessions.c.owner == HIDDEN)
            .values(
                owner=owner,
                title=archive.title,
                created_at=archive.created_at,
                updated_at=archive.updated_at,
                options=options_json(archive.options),
            )
        )
    return results


def _stored(connection: Connection, archive: Archive) -> int:
    """Return the bytes that a hidden session takes with its options."""
    found = select(sessions.c.bytes).where(sessions.c.session_id == archive.session_id)
    return (connection.scalar(found) or 0) + of_options(archive.options)


def hide(connection: Connection, _: int, group: Sequence[Hide]) -> list[Refused | None]:
    """Take sessions from their owners."""
    results: list[Refused | None] = []
    for owner, session_id in group:
        own = (sessions.c.session_id == session_id, sessions.c.owner == owner)
        done = connection.execute(update(sessions).where(*own).values(owner=HIDDEN))
        if done.rowcount:
            drop_earlier(connection, owner, session_id)
        results.append(None if done.rowcount else SessionNotFound())
    return results


def prune(connection: Connection, _: int, group: Sequence[Prune]) -> list[None]:
    """Delete some records of hidden sessions, and those that have none."""
    for change in group:
        _prune(connection, change.session_id)
    return [None] * len(group)


def _prune(connection: Connection, session_id: str) -> None:
    is_hidden = select(sessions.c.owner).where(sessions.c.session_id == session_id)
    if connection.scalar(is_hidden) != HIDDEN:
        return
    for table, column, most in _PARTS:
        some = select(column).where(table.c.session_id == session_id).limit(most)
        found = connection.scalars(some).all()
        if found and table is streams:
            answers = select(streams.c.message_id).where(column.in_(found))
            connection.execute(delete(pieces).where(pieces.c.message_id.in_(answers)))
        if found:
            of_session = table.c.session_id == session_id
            connection.execute(
                delete(table).where(column.in_(found), *((of_session,) if table is keys else ()))
            )
            return
    connection.execute(delete(sessions).where(sessions.c.session_id == session_id))


_PARTS: tuple[tuple[Table, Column[Any], int], ...] = (
    (images, images.c.image_id, PRUNED_IMAGES),
    (messages, messages.c.place, PRUNED),
    (streams, streams.c.stream_id, PRUNED),
    (keys, keys.c.key, PRUNED),
)


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


def _stream_rows(session_id: str, wrote: Sequence[ArchivedStream], node: int) -> list[dict[str, Any]]:
    return [
        {
            **stream_row(stream_state(session_id, stream)),
            "continues": stream.continues,
            "created_at": stream.created_at,
            "node": node,
            "request": None,
            "halted": True,  # deleted in between, or another server's: nobody waits for the rest of it
        }
        for stream in wrote
    ]


def _key_row(key: ArchivedKey) -> dict[str, Any]:
    return {"key": key.key, "stream_id": key.stream_id, "request_hash": key.request_hash}
