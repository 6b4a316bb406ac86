"""Recovery after a crash: ends the streams of dead servers with their stored text, and finds answers to continue."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    true,
    update,
)

from app.chat.growing_text import GrowingText
from app.chat.ports import Kind
from app.chat.records import Interrupted, Seen, StreamState, Unfinished
from app.chat.states import Outcome, Status
from app.history.statements.read import read_options
from app.history.statements.tables import HIDDEN, StorableText, leases, messages, pieces, sessions, streams

TOGETHER = 500  # streams that are ended by the same statements: both databases limit a statement's parameters

_RUNNING = streams.c.outcome.is_(None)
# In a cluster the owner of a session looks after what is unfinished in it, not the start of a server. A server that is
# alone looks after everything: leases that it finds are those of a cluster that has gone.
_NO_LEASE = ~exists().where(leases.c.session_id == streams.c.session_id)


class _Left(NamedTuple):
    """A stream that a server left unfinished."""

    stream_id: str
    message_id: str
    known: Seen | None = None  # what was seen of it


def running_nodes(connection: Connection) -> list[int]:
    """Return the node numbers of servers with running streams."""
    return list((connection.execute(select(streams.c.node).where(_RUNNING).distinct())).scalars())


def hidden_sessions(connection: Connection, *, alone: bool = False) -> list[str]:
    """Return the ids of sessions that were not stored or deleted completely, and that no node owns.

    A server that is `alone` on the database gets all of them.
    """
    is_owned = exists().where(leases.c.session_id == sessions.c.session_id, leases.c.node_id.is_not(None))
    unowned = true() if alone else ~is_owned
    return list(connection.scalars(select(sessions.c.session_id).where(sessions.c.owner == HIDDEN, unowned)))


def end_streams(connection: Connection, dead: Collection[int], *, alone: bool = False) -> int:
    """End the streams of these servers as `interrupted`; return their number.

    Those in sessions with a lease are left to its node, unless this server is `alone` on the database.
    """
    whose = true() if alone else _NO_LEASE
    found = connection.execute(
        select(streams.c.stream_id, streams.c.message_id).where(_RUNNING, streams.c.node.in_(dead), whose)
    )
    left = [_Left(*row) for row in found]
    _end(connection, left, closed=True)  # the OS closes those of a dead process
    return len(left)


_OTHERS = streams.alias("others")
# A continuation that was admitted before the stop of what it continues is stopped with it.
_HALTED = or_(
    streams.c.halted.is_(True),
    exists().where(_OTHERS.c.stream_id == streams.c.continues, _OTHERS.c.halted.is_(True)),
)


def read_unfinished(
    connection: Connection, session_ids: Collection[str], *, after: str | None = None
) -> list[Unfinished]:
    """Return the streams of these sessions whose end is not stored, oldest first.

    With `after`, also those that were registered since that stream, whatever their outcome, and that stream itself.
    """
    wanted: ColumnElement[bool] = _RUNNING
    if after is not None:
        since = select(streams.c.created_at).where(streams.c.stream_id == after).scalar_subquery()
        wanted = or_(_RUNNING, streams.c.created_at >= since)
    has_text = exists().where(pieces.c.message_id == streams.c.message_id)
    found = connection.execute(
        select(
            sessions.c.owner,
            streams.c.session_id,
            streams.c.stream_id,
            streams.c.message_id,
            streams.c.model,
            streams.c.continues,
            streams.c.request,
            has_text,
            streams.c.created_at,
            streams.c.status,
            _HALTED,
            streams.c.outcome.is_not(None),
        )
        .join(sessions, sessions.c.session_id == streams.c.session_id)
        .outerjoin(messages, messages.c.message_id == streams.c.message_id)
        .where(wanted, streams.c.session_id.in_(session_ids))
        .order_by(streams.c.created_at, messages.c.place, streams.c.stream_id)
    )
    return [_unfinished(*row) for row in found]


def _unfinished(
    owner: str,
    session_id: str,
    stream_id: str,
    message_id: str,
    model: str,
    continues: str | None,
    request: str | None,
    has_text: bool,
    created_at: str | None,
    status: str,
    halted: bool,
    ended: bool,
) -> Unfinished:
    options = read_options(request)
    # A prompt is stored as `queued`, and `take_up` alone changes that before the end of its stream.
    taken_up = status != str(Status.QUEUED)
    return Unfinished(
        owner,
        session_id,
        stream_id,
        message_id,
        model,
        continues,
        options,
        has_text,
        created_at,
        taken_up,
        halted,
        ended,
    )


def end_unfinished(
    connection: Connection,
    session_ids: Collection[str],
    living: Collection[str] = (),
    seen: Collection[Seen] = (),
) -> None:
    """End the streams of these sessions as `interrupted`, except for `living`.

    Their server may still run, so nothing is known about its connections to the models. What was `seen` of them is
    stored first; if the end of one was seen, that is its end.
    """
    known = {one.stream_id: one for one in seen}
    left = [
        _Left(stream.stream_id, stream.message_id, known.get(stream.stream_id))
        for stream in read_unfinished(connection, session_ids)
        if stream.stream_id not in living
    ]
    _end(connection, left, closed=False)


def take_up(connection: Connection, node: int, stream_ids: Collection[str]) -> None:
    """Note that this server starts streams again that an earlier owner left unfinished. It is not done twice."""
    connection.execute(
        update(streams)
        .where(streams.c.stream_id.in_(stream_ids), _RUNNING)
        .values(status=str(Status.THINKING), node=node)
    )


def _figures(end: StreamState) -> dict[str, object]:
    """Return what the `end` of a stream says of it."""
    return {
        "outcome": str(end.outcome),
        "finish_reason": end.finish_reason,
        "duration_ms": end.duration_ms,
        "ttft_ms": end.ttft_ms,
        "thought_ms": end.thought_ms,
        "upstream_closed": end.upstream_closed,
        "completion_tokens": end.usage.completion_tokens if end.usage else None,
        "error_code": end.error.code if end.error else None,
        "error_message": end.error.message if end.error else None,
    }


_LATER = messages.alias("later")
_NEWEST = select(func.max(_LATER.c.place)).where(_LATER.c.session_id == messages.c.session_id)
_CONTINUED = select(func.count()).where(
    _OTHERS.c.message_id == messages.c.message_id, _OTHERS.c.continues.is_not(None)
)
_INTERRUPTED = (
    select(
        sessions.c.owner,
        messages.c.session_id,
        messages.c.message_id,
        streams.c.model,
        streams.c.request,
        streams.c.created_at,
        streams.c.duration_ms,
    )
    .select_from(
        streams.join(messages, streams.c.stream_id == messages.c.stream_id).join(
            sessions, sessions.c.session_id == messages.c.session_id
        )
    )
    .where(
        streams.c.outcome == str(Outcome.INTERRUPTED),
        streams.c.message_id == messages.c.message_id,
        streams.c.created_at.is_not(None),
        messages.c.place == _NEWEST.scalar_subquery(),
        streams.c.halted.is_(None),
        _CONTINUED.scalar_subquery() < bindparam("tries"),
    )
    .order_by(streams.c.created_at.desc())
)


def read_interrupted(
    connection: Connection,
    since: datetime,
    tries: int,
    limit: int,
    sessions_: Collection[str] | None = None,
) -> list[Interrupted]:
    """Return the answers that can be continued; see `History.interrupted`."""
    found = []
    those = _INTERRUPTED if sessions_ is None else _INTERRUPTED.where(messages.c.session_id.in_(sessions_))
    for row in connection.execute(those, {"tries": tries}):
        owner, session_id, message_id, model, request, created_at, duration_ms = row
        if datetime.fromisoformat(created_at) + timedelta(milliseconds=duration_ms) >= since:
            found.append(Interrupted(owner, session_id, message_id, model, read_options(request)))
    return found[:limit]


def halt(connection: Connection, session_id: str, stream_id: str | None) -> None:
    """Note that only the user may continue an answer; see `History.halt`.

    The streams of the answer that were interrupted are marked, and this stream even if its end is not stored yet.
    """
    interrupted = streams.c.outcome == str(Outcome.INTERRUPTED)
    if stream_id is not None:
        answer = select(_OTHERS.c.message_id).where(_OTHERS.c.stream_id == stream_id)
        which = or_(interrupted, streams.c.stream_id == stream_id)
    else:
        last = select(func.max(_LATER.c.place)).where(_LATER.c.session_id == session_id)
        answer = select(messages.c.message_id).where(messages.c.place == last.scalar_subquery())
        which = interrupted
    connection.execute(
        update(streams)
        .where(streams.c.session_id == session_id, streams.c.message_id == answer.scalar_subquery(), which)
        .values(halted=True)
    )


# A continued answer has text already and its pieces are appended. An answer without text was started over, so its old
# reasoning is dropped.
_APPEND = (
    update(messages)
    .where(messages.c.message_id == bindparam("of_message"))
    .values(
        content=messages.c.content + bindparam("more", type_=StorableText),
        reasoning=case((messages.c.content == "", ""), else_=messages.c.reasoning)
        + bindparam("thought", type_=StorableText),
    )
)
_END = update(streams).where(streams.c.stream_id == bindparam("of_stream"))


def _end(connection: Connection, left: Sequence[_Left], *, closed: bool) -> None:
    """End these streams. A dead server may leave hundreds, so they share their statements."""
    for first in range(0, len(left), TOGETHER):
        _end_together(connection, left[first : first + TOGETHER], closed=closed)


def _end_together(connection: Connection, left: Sequence[_Left], *, closed: bool) -> None:
    own = pieces.c.message_id.in_({stream.message_id for stream in left})
    stored: dict[str, list[Any]] = {}
    for row in connection.execute(select(pieces).where(own).order_by(pieces.c.start)):
        stored.setdefault(row.message_id, []).append(row)
    texts: list[dict[str, object]] = []
    ends: dict[bool, list[dict[str, object]]] = {False: [], True: []}  # by whether the end was seen
    for stream_id, message_id, known in left:
        rows = stored.pop(message_id, [])  # of an answer and its continuation, the first gets the pieces
        content, tokens = _joined(rows, "token", known.text if known else None)
        reasoning, thought_tokens = _joined(rows, "reasoning", known.reasoning if known else None)
        texts.append({"of_message": message_id, "more": content, "thought": reasoning})
        figures: dict[str, object] = {
            "of_stream": stream_id,
            "status": str(Status.ENDED),
            "outcome": str(Outcome.INTERRUPTED),
            "tokens": tokens,
            "reasoning_tokens": thought_tokens,
            "duration_ms": max((row.elapsed_ms for row in rows), default=0),
            "upstream_closed": closed,
        }
        end = known.end if known is not None else None
        ends[end is not None].append(figures | (_figures(end) if end is not None else {}))
    connection.execute(_APPEND, texts)
    for figures_of_each in filter(None, ends.values()):
        connection.execute(_END, figures_of_each)
    connection.execute(delete(pieces).where(own))


def _joined(rows: Sequence[Any], kind: Kind, seen: GrowingText | None) -> tuple[str, int]:
    """Return a text and the number of its tokens: the stored pieces, and after them what was `seen` beyond them."""
    stored = [row for row in rows if row.kind == kind]
    tokens = sum(row.tokens for row in stored)
    text = "".join(row.text for row in stored)
    return (text, tokens) if seen is None else (text + seen.since(tokens), max(tokens, len(seen)))
