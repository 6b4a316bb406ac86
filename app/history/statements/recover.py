"""Recovery after a crash: ends the streams of dead servers with their stored text, and finds answers to continue."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, case, delete, exists, func, select, update

from app.chat.records import Interrupted, Unfinished
from app.chat.states import Outcome, Status
from app.history.statements.read import read_options
from app.history.statements.tables import HIDDEN, leases, messages, pieces, sessions, streams

_RUNNING = streams.c.outcome.is_(None)
# In a cluster the owner of a session looks after what is unfinished in it, not the start of a server.
_NO_LEASE = ~exists().where(leases.c.session_id == streams.c.session_id)


def running_nodes(connection: Connection) -> list[int]:
    """Return the node numbers of servers with running streams."""
    return list((connection.execute(select(streams.c.node).where(_RUNNING).distinct())).scalars())


def hidden_sessions(connection: Connection) -> list[str]:
    """Return the ids of sessions that were not stored or deleted completely, and that no node owns or owned."""
    unowned = ~exists().where(leases.c.session_id == sessions.c.session_id)
    return list(connection.scalars(select(sessions.c.session_id).where(sessions.c.owner == HIDDEN, unowned)))


def end_streams(connection: Connection, dead: Collection[int]) -> int:
    """End the streams of these servers as `interrupted`; return their number."""
    interrupted = connection.execute(
        select(streams.c.stream_id, streams.c.message_id).where(_RUNNING, streams.c.node.in_(dead), _NO_LEASE)
    )
    count = 0
    for stream_id, message_id in interrupted.all():
        _end(connection, stream_id, message_id, closed=True)  # the OS closes those of a dead process
        count += 1
    return count


def read_unfinished(connection: Connection, session_id: str) -> list[Unfinished]:
    """Return the streams of a session whose end is not stored, oldest first."""
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
        )
        .join(sessions, sessions.c.session_id == streams.c.session_id)
        .where(_RUNNING, streams.c.session_id == session_id)
        .order_by(streams.c.created_at, streams.c.stream_id)
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
) -> Unfinished:
    options = read_options(request)
    return Unfinished(owner, session_id, stream_id, message_id, model, continues, options, has_text)


def end_unfinished(connection: Connection, session_id: str, living: Collection[str]) -> None:
    """End the streams of a session as `interrupted`, except for `living`.

    Their server may still run, so nothing is known about its connections to the models.
    """
    for stream in read_unfinished(connection, session_id):
        if stream.stream_id not in living:
            _end(connection, stream.stream_id, stream.message_id, closed=False)


_OTHERS = streams.alias("others")
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
        _CONTINUED.scalar_subquery() < bindparam("tries"),
    )
    .order_by(streams.c.created_at.desc())
)


def read_interrupted(connection: Connection, since: datetime, tries: int, limit: int) -> list[Interrupted]:
    """Return the answers that can be continued; see `History.interrupted`."""
    found = []
    for *answer, created_at, duration_ms in connection.execute(_INTERRUPTED, {"tries": tries}):
        if datetime.fromisoformat(created_at) + timedelta(milliseconds=duration_ms) >= since:
            found.append(Interrupted(*answer))
    return found[:limit]


def _end(connection: Connection, stream_id: str, message_id: str, *, closed: bool) -> None:
    own = pieces.c.message_id == message_id
    rows = (connection.execute(select(pieces).where(own).order_by(pieces.c.start))).all()
    texts = {kind: "".join(row.text for row in rows if row.kind == kind) for kind in ("token", "reasoning")}
    # A continued answer has text already and its pieces are appended. An answer without text was started over, so its
    # old reasoning is dropped.
    thought = case((messages.c.content == "", ""), else_=messages.c.reasoning)
    connection.execute(
        update(messages)
        .where(messages.c.message_id == message_id)
        .values(content=messages.c.content + texts["token"], reasoning=thought + texts["reasoning"])
    )
    connection.execute(
        update(streams)
        .where(streams.c.stream_id == stream_id)
        .values(
            status=str(Status.ENDED),
            outcome=str(Outcome.INTERRUPTED),
            tokens=sum(row.tokens for row in rows if row.kind == "token"),
            reasoning_tokens=sum(row.tokens for row in rows if row.kind == "reasoning"),
            duration_ms=max((row.elapsed_ms for row in rows), default=0),
            upstream_closed=closed,
        )
    )
    connection.execute(delete(pieces).where(own))
