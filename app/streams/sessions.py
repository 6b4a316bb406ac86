"""The live sessions of this server: created on demand, and dropped once idle and expired, or too many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from app.chat.ports import Logger
from app.chat.records import History
from app.log.memory_log import MemoryLog
from app.log.session_log import SessionLog
from app.streams.bounds import Bounds
from app.streams.counters import Counters, LineState, Statistics
from app.streams.line import Lines
from app.streams.session import Session
from app.streams.stream import Stream
from app.streams.surplus import surplus

SWEEP_SECONDS = 30.0  # between two sweeps for expired events and sessions
FRESH_SECONDS = 60.0  # since its last use, for which a session is kept in any case


class Logs(Protocol):
    """The logs of a node's sessions, which others keep, too."""

    def of(self, session_id: str) -> SessionLog:
        """Return the log of a session. Raises `LeaseLost` if another node owns the session, or may own it."""
        ...

    def renew(self, session_id: str, deleted: SessionLog) -> None:
        """Begin anew: the session that had the log `deleted` was deleted. Its viewers can still read it."""
        ...


class Sessions:
    """The live sessions by id, and the counters they share. Without `logs`, their logs are in memory."""

    def __init__(
        self,
        *,
        history: History,
        bounds: Bounds,
        logger: Logger,
        now: Callable[[], float],
        logs: Logs | None = None,
    ) -> None:
        self._logs = logs
        self.tally = Counters(now)
        self._history = history
        self._bounds = bounds
        self._logger = logger
        self._now = now
        self._live: dict[str, Session] = {}
        self._epoch = 0
        self._closed = False
        self._sweep: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Sessions {len(self._live)} {self.tally!r}>"

    def __iter__(self) -> Iterator[Session]:
        return iter(self._live.values())

    def open(self, session_id: str) -> Session:
        """Return the live session of this id; create it if there is none. Raises `LeaseLost`."""
        loop = asyncio.get_running_loop()
        session = self._live.get(session_id)
        if session is not None:
            session.touched = loop.time()
            return session
        session = self._live[session_id] = Session(
            session_id,
            log=self._log(session_id),
            history=self._history,
            bounds=self._bounds,
            logger=self._logger,
            tally=self.tally,
        )
        if self._closed:
            session.close_viewers()
        elif self._sweep is None:
            self._sweep = loop.call_later(SWEEP_SECONDS, self._sweep_now)
        return session

    def _log(self, session_id: str) -> SessionLog:
        if self._logs is not None:
            return self._logs.of(session_id)
        # Epochs grow even if the clock stands still or goes back: an old cursor must never match a new log.
        self._epoch = max(self._epoch + 1, int(self._now() * 1000))
        clock = asyncio.get_running_loop().time
        return MemoryLog(self._epoch, max_bytes=self._bounds.log_bytes, clock=clock)

    def find(self, session_id: str) -> Session | None:
        """Return the live session of this id, or `None`."""
        return self._live.get(session_id)

    def streams(self, session_id: str) -> Iterable[Stream]:
        """Return the queued and running streams of a session."""
        return self._live.get(session_id) or ()

    def drop(self, session: Session) -> None:
        """Drop this session, unless another one has replaced it under its id."""
        if self._live.get(session.session_id) is session:
            del self._live[session.session_id]

    def deleted(self, session: Session) -> None:
        """Drop a session whose messages are gone; its events go, too."""
        self.drop(session)
        if self._logs is not None:
            self._logs.renew(session.session_id, session.log)

    def statistics(self, lines: Lines) -> Statistics:
        """Return a snapshot of the gauges and counters."""
        return Statistics(
            sessions=len(self._live),
            active=self.tally.busy,
            limit=self._bounds.max_streams,
            queued=sum(len(tuple(session)) for session in self) - self.tally.busy,
            viewers=sum(session.viewers for session in self),
            zombies=self.tally.zombies,
            log_bytes=sum(session.log.size for session in self),
            started=self.tally.started,
            tokens=self.tally.tokens,
            ended={str(outcome): count for outcome, count in self.tally.ended.items()},
            measures=self.tally.measures,
            lines=[LineState(line.backend, line.slots, line.served, line.waiting) for line in lines],
            line_waits=lines.waits,
        )

    # ---- housekeeping ----------------------------------------------------------------------------------------

    def stop_sweeping(self) -> None:
        """Stop the periodic sweep."""
        if self._sweep is not None:
            self._sweep.cancel()

    def close(self) -> None:
        """Close the viewers of all sessions, including sessions that are created later."""
        self._closed = True
        for session in self:
            session.close_viewers()

    def _sweep_now(self) -> None:
        """Drop expired events, idle sessions that nobody has used for `log_seconds`, and what takes too much memory."""
        loop = asyncio.get_running_loop()
        expired = loop.time() - self._bounds.log_seconds
        for session in tuple(self):
            session.log.expire(expired)
            if session.idle and session.touched < expired:
                self.drop(session)
        before = loop.time() - FRESH_SECONDS
        for session in surplus(self, before=before, bounds=self._bounds):
            if session.idle:
                self.drop(session)
            else:  # its viewers need nothing of it once they have read it
                session.log.expire(before)
        self._sweep = loop.call_later(SWEEP_SECONDS, self._sweep_now) if self._live else None
