"""The statements that read a part of a long session: first its tree, without texts, then the messages wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select

from app.chat.archive import ArchivedMessage, ArchivedStream
from app.chat.branches import moved
from app.chat.errors import MessageNotFound
from app.chat.message_range import MOST_CHARACTERS, MOST_MESSAGES, MessageRange, Way, bounds_of
from app.chat.ports import Role
from app.chat.records import Excerpt, Message, Records
from app.chat.tree import Tree
from app.history.archive_records import archived_message, archived_stream
from app.history.statements.prepared import Prepared
from app.history.statements.read import message_of, messages_with_streams, read_session, state_of, with_images
from app.history.statements.tables import Name, images, messages, streams

LONG_MESSAGES = MOST_MESSAGES
LONG_CHARACTERS = 2 * MOST_CHARACTERS  # of all messages of a session
PIECE = 1_000_000  # characters and bytes that are read at a time, unless one message has more
TOGETHER = 200  # messages that are read at a time
SIZES = 64  # of messages that are asked for at a time

_OF = bindparam("of_session", type_=Name)
_LENGTH = func.length(messages.c.content) + func.length(messages.c.reasoning)
_FIRST = select(_LENGTH.label("size")).where(messages.c.session_id == _OF).limit(LONG_MESSAGES + 1).subquery()
_EXTENT = Prepared(select(func.count(), func.coalesce(func.sum(_FIRST.c.size), 0)).select_from(_FIRST))
_TREE = (
    select(messages.c.message_id, messages.c.parent_id, messages.c.role)
    .where(messages.c.session_id == _OF)
    .order_by(messages.c.place)
)
_NODES = _TREE.add_columns(messages.c.stream_id)


class _Node(NamedTuple):
    message_id: str
    parent_id: str | None
    role: Role
    stream_id: str | None


def is_long(connection: Connection, session_id: str) -> bool:
    """Return whether a session has too many messages, or too much text, to be read as a whole for each page."""
    count, size = _EXTENT.one(connection, {"of_session": session_id}) or (0, 0)
    return count > LONG_MESSAGES or int(size) > LONG_CHARACTERS


def read_tree(connection: Connection, session_id: str, gone: Collection[str]) -> Tree:
    """Return the tree of a session without the messages of the streams in `gone`."""
    of = {"of_session": session_id}
    if not gone:
        return Tree(map(_triple, connection.execute(_TREE, of)))
    nodes = [_Node(*row) for row in connection.execute(_NODES, of)]
    left_out = {node.message_id for node in nodes if node.stream_id in gone}
    homes = moved(nodes, left_out)
    return Tree(
        (node.message_id, homes.get(node.message_id, node.parent_id), node.role)
        for node in nodes
        if node.message_id not in left_out
    )


def _triple(row: Any) -> tuple[str, str | None, str]:
    message_id, parent_id, role = row
    return message_id, parent_id, role


def read_excerpt(
    connection: Connection,
    owner: str,
    session_id: str,
    through: str | None,
    part: MessageRange,
    *,
    entire: bool,
    gone: Collection[str],
) -> Excerpt:
    """Return a part of a branch; see `History.excerpt`."""
    info = read_session(connection, owner, session_id)
    tree = read_tree(connection, session_id, gone)
    places = tree.branch(through) if len(tree) else []
    begin, end = bounds_of(_way(connection, tree, places), part, through)
    found = read_some(connection, session_id, [tree.ids[place] for place in places[begin:end]])
    return Excerpt(
        info,
        found,
        tree.families(places if entire else places[begin:end]),
        [tree.ids[place] for place in places[:begin]],
        tree.ids[places[-1]] if places else None,
    )


def _way(connection: Connection, tree: Tree, places: Sequence[int]) -> Way:
    sizes: dict[int, int] = {}

    def size(index: int) -> int:
        if index not in sizes:
            wanted = range(max(0, index - SIZES + 1), index + 1)
            known = _sizes(connection, [tree.ids[places[each]] for each in wanted])
            sizes.update((each, known.get(tree.ids[places[each]], 0)) for each in wanted)
        return sizes[index]

    indexes: dict[int, int] = {}

    def place_of(message_id: str) -> int | None:
        if not indexes:
            indexes.update((place, index) for index, place in enumerate(places))
        try:
            return indexes.get(tree.place(message_id))
        except MessageNotFound:
            return None

    return Way(len(places), place_of, lambda index: tree.is_prompt(places[index]), size)


def _sizes(connection: Connection, message_ids: Sequence[str]) -> dict[str, int]:
    found = connection.execute(
        select(messages.c.message_id, _LENGTH).where(messages.c.message_id.in_(message_ids))
    )
    return {message_id: int(size) for message_id, size in found}


def read_some(connection: Connection, session_id: str, message_ids: Sequence[str]) -> list[Message]:
    """Return these messages, in this order. Raises `MessageNotFound` if one is missing."""
    found: dict[str, Message] = {}
    for begin in range(0, len(message_ids), TOGETHER):
        wanted = message_ids[begin : begin + TOGETHER]
        rows = connection.execute(messages_with_streams(session_id).where(messages.c.message_id.in_(wanted)))
        some = [message_of(row) for row in rows]
        with_images(connection, some, _images_of(session_id, wanted))
        found.update((message.message_id, message) for message in some)
    try:
        return [found[message_id] for message_id in message_ids]
    except KeyError as error:
        raise MessageNotFound(f"Message {error.args[0]} doesn't exist in this chat.") from error


def read_first(connection: Connection, session_id: str, message_ids: Sequence[str]) -> list[Message]:
    """Return the first of these messages: at most `TOGETHER` and `PIECE`, but at least one."""
    wanted = message_ids[:TOGETHER]
    return read_some(connection, session_id, _first(wanted, _sizes(connection, wanted)))


def _images_of(session_id: str, message_ids: Sequence[str]) -> ColumnElement[bool]:
    return and_(images.c.session_id == session_id, images.c.message_id.in_(message_ids))


def _first(message_ids: Sequence[str], sizes: Mapping[str, int]) -> Sequence[str]:
    """Return the first of these messages, as many as `PIECE` has room for, but at least one."""
    total = 0
    for count, message_id in enumerate(message_ids):
        total += sizes.get(message_id, 0)
        if count and total > PIECE:
            return message_ids[:count]
    return message_ids


def read_near(
    connection: Connection, session_id: str, message_id: str, most: int, gone: Collection[str]
) -> list[Message]:
    """Return the last `most` messages of the path to a message, and what follows it; see `History.near`."""
    tree = read_tree(connection, session_id, gone)
    place = tree.place(message_id)
    path = [tree.ids[each] for each in tree.path(place)][-most:]
    kept = list(reversed(list(_latest(connection, path))))
    children = [tree.ids[each] for each in tree.children(place)][:1]
    return read_some(connection, session_id, [*kept, *children])


def _latest(connection: Connection, path: Sequence[str]) -> Iterator[str]:
    """Yield the last messages of a path, the last first: as many as the largest part may have, and at least two."""
    total = 0
    for end in range(len(path), 0, -SIZES):
        some = path[max(0, end - SIZES) : end]
        sizes = _sizes(connection, some)
        for count, message_id in enumerate(reversed(some), start=len(path) - end):
            total += sizes.get(message_id, 0)
            if count > 1 and total > LONG_CHARACTERS:
                return
            yield message_id


# ---- exports -------------------------------------------------------------------------------------------------


def read_records(connection: Connection, owner: str, session_id: str) -> Records | None:
    """Return the ids of a session's records, `None` if it is small enough to be exported as a whole."""
    info = read_session(connection, owner, session_id)
    if not (is_long(connection, session_id) or _has_much(connection, session_id)):
        return None
    of = {"of_session": session_id}
    wrote = select(streams.c.stream_id).where(streams.c.session_id == _OF)
    oldest_first = wrote.order_by(func.coalesce(streams.c.created_at, ""), streams.c.stream_id)
    said = select(messages.c.message_id).where(messages.c.session_id == _OF).order_by(messages.c.place)
    return Records(info, list(connection.scalars(said, of)), list(connection.scalars(oldest_first, of)))


def _has_much(connection: Connection, session_id: str) -> bool:
    """Return whether an export has more text or images than should be in memory several times."""
    texts = connection.scalar(select(func.sum(_LENGTH)).where(messages.c.session_id == session_id)) or 0
    data = connection.scalar(select(func.sum(images.c.size)).where(images.c.session_id == session_id)) or 0
    return int(texts) + int(data) > PIECE


def read_archived_messages(
    connection: Connection, session_id: str, message_ids: Sequence[str]
) -> list[ArchivedMessage]:
    """Return the first of these messages, with their images."""
    some = message_ids[:TOGETHER]
    sizes = _sizes(connection, some)
    of = _images_of(session_id, some)
    query = select(images.c.message_id, func.sum(images.c.size)).where(of).group_by(images.c.message_id)
    for message_id, size in connection.execute(query):
        sizes[message_id] = sizes.get(message_id, 0) + int(size)
    wanted = _first(some, sizes)
    found = read_some(connection, session_id, wanted)
    rows = connection.execute(select(images.c.image_id, images.c.data).where(_images_of(session_id, wanted)))
    data = {image_id: bytes(some) for image_id, some in rows}
    return [archived_message(message, data) for message in found]


def read_archived_streams(
    connection: Connection, session_id: str, stream_ids: Sequence[str]
) -> list[ArchivedStream]:
    """Return these streams, in this order."""
    # Not through the index of the session, which may have a hundred thousand streams.
    of = and_(streams.c.stream_id.in_(stream_ids), func.coalesce(streams.c.session_id, "") == session_id)
    found = {row.stream_id: row for row in connection.execute(select(streams).where(of))}
    rows = (found[stream_id] for stream_id in stream_ids if stream_id in found)
    return [archived_stream(row.created_at, state_of(row)) for row in rows]
