"""What an operator sees of the streams: plain data, so that a page that shows it never holds a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from app.chat.records import StreamState
from app.chat.scoped_ids import owner_of
from app.chat.states import Reason, Status
from app.streams.counters import EndedStream, Statistics
from app.streams.stream import Stream

MOST_LIVE = 100  # streams in one overview, those that began first


class LiveStream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that has not ended."""

    stream_id: str
    session_id: str  # scoped: it has the owner
    model: str
    status: Status
    ending: Reason | None  # why it was signalled, if it was
    seconds: float  # since its registration
    tokens: int  # pieces so far, of reasoning and of the answer
    tokens_per_second: float | None
    viewers: int  # of its session
    waits_for: str | None  # the stream before it in its session
    place: int | None  # in line for its model server, from 1 on


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """All that runs and waits at one moment, and what ended last."""

    statistics: Statistics
    live: list[LiveStream]
    more: int  # live streams that are not in the list
    ended: list[EndedStream]  # the latest first
    draining: bool


class Queue(Protocol):
    """A session, as far as the overview reads it."""

    @property
    def viewers(self) -> int:
        """The number of connected viewers."""

    def __iter__(self) -> Iterator[Stream]:
        """The streams in the queue, the running one first."""


def live_streams(sessions: Iterable[Queue], owner: str | None) -> tuple[list[LiveStream], int]:
    """Return the streams that began first, `MOST_LIVE` at most, and the number of the others.

    With `owner`, those of other owners are neither returned nor counted.
    """
    found = [
        (stream.created, stream, session, before)
        for session in sessions
        for stream, before in _queue(session)
        if owner in (None, owner_of(stream.session_id))
    ]
    found.sort(key=lambda each: each[0])
    shown = [_live(stream, session, before) for _, stream, session, before in found[:MOST_LIVE]]
    return shown, len(found) - len(shown)


def _queue(session: Queue) -> Iterator[tuple[Stream, Stream | None]]:
    before: Stream | None = None
    for stream in session:
        yield stream, before
        before = stream


def _live(stream: Stream, session: Queue, before: Stream | None) -> LiveStream:
    state: StreamState = stream.state()
    return LiveStream(
        stream_id=state.stream_id,
        session_id=state.session_id,
        model=state.model,
        status=state.status,
        ending=stream.ending.reason if stream.ending else None,
        seconds=state.duration_ms / 1000,
        tokens=state.tokens + state.reasoning_tokens,
        tokens_per_second=state.tokens_per_second,
        viewers=session.viewers,
        waits_for=before.stream_id if before else None,
        place=state.place,
    )
