"""Counters of streams and sessions, for metrics and tests."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import msgspec

from app.chat.ports import Model
from app.chat.records import StreamState
from app.chat.states import Outcome
from app.measures import Histograms
from app.streams.measures import StreamMeasures

LAST_ENDS = 50  # ended streams that are remembered
RECENT = 8  # ended streams that decide how long an answer takes


class EndedStream(msgspec.Struct, frozen=True):
    """A stream that has ended."""

    state: StreamState
    ended_at: float  # POSIX time


class LineState(msgspec.Struct, frozen=True):
    """The line in front of one model server."""

    backend: str
    slots: int  # answers at once
    served: int  # slots in use
    waiting: int


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of gauges and counters. Counters run from the start of the process."""

    # Gauges
    sessions: int  # live sessions
    active: int  # sessions with a running stream
    limit: int  # sessions that may have one
    queued: int  # streams behind a running one
    viewers: int
    zombies: int  # producers past their bound that have not ended yet
    log_bytes: int  # of all session logs in memory
    lines: list[LineState] = []
    # Counters
    started: int
    tokens: int  # pieces in answers that have ended
    ended: dict[str, int]  # by outcome
    measures: StreamMeasures
    line_waits: Histograms  # s in line, by model server


class Counters:
    """Counters shared by the sessions of one registry."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.started = 0
        self.busy = 0  # sessions with a stream in their queue
        self.busy_of: Counter[str] = Counter()  # the same by owner; no owner has 0
        self.typical = 1.0  # s that an answer takes, the last ones counting most
        self.zombies = 0
        self.tokens = 0
        self.ended: Counter[Outcome] = Counter()
        self.measures = StreamMeasures()
        self.ends: deque[EndedStream] = deque(maxlen=LAST_ENDS)  # the latest last

    def __repr__(self) -> str:
        return f"<Counters started={self.started} ended={sum(self.ended.values())} zombies={self.zombies}>"

    def began(self, owner: str) -> None:
        """Count a session that has a stream in its queue from now on."""
        self.busy += 1
        self.busy_of[owner] += 1

    def left(self, owner: str) -> None:
        """Count a session whose queue is empty from now on."""
        self.busy -= 1
        if self.busy_of[owner] > 1:
            self.busy_of[owner] -= 1
        else:
            del self.busy_of[owner]

    def count_end(self, state: StreamState, model: Model) -> None:
        """Count an ended stream and its tokens."""
        if state.outcome is not None:
            self.ended[state.outcome] += 1
            self.measures.ended(state, model)
            self.ends.append(EndedStream(state, self._now()))
            self.typical += (state.duration_ms / 1000 - self.typical) / RECENT
        self.tokens += state.tokens
