"""The registry of all live sessions and streams of this server. POST registers, DELETE stops, GET does neither."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from app.chat.branches import without
from app.chat.errors import (
    Draining,
    KeyReused,
    LineFull,
    Refused,
    SessionBusy,
    TooManyStreams,
)
from app.chat.ports import Logger, Options
from app.chat.records import Exchange, History, KnownKey, Message, StreamState
from app.chat.scoped_ids import owner_of
from app.chat.states import Reason, Status
from app.chat.submission import Submission
from app.chat.submission import exchange as exchange_of
from app.log.cursors import Cursor
from app.log.session_log import SessionLog
from app.streams.archives import Archives
from app.streams.arrivals import Arrivals
from app.streams.bounds import Bounds
from app.streams.counters import Statistics
from app.streams.fair_use import FairUse
from app.streams.line import Lines
from app.streams.overview import Overview, live_streams
from app.streams.session import Session
from app.streams.sessions import Sessions
from app.streams.stream import Stream
from app.tasks.timeouts import within

RECENT = 600  # messages before the one that a request names: more than can be in the queue and rolled back


class Registered(NamedTuple):
    """The result of a registration.

    `new` is false if the idempotency key matched an earlier registration; `begins` is true if it created the session.
    """

    stream_id: str
    status: Status
    cursor: Cursor
    new: bool
    begins: bool = False


class Registry:
    """Finds sessions, registers and stops streams, and ends all streams at shutdown."""

    def __init__(
        self,
        *,
        history: History,
        bounds: Bounds,
        logger: Logger,
        new_id: Callable[[], str] = lambda: secrets.token_urlsafe(12),
        now: Callable[[], float] = time.time,
        lines: Lines | None = None,
        logs: Callable[[str], SessionLog | None] | None = None,
    ) -> None:
        self.history = history
        self.bounds = bounds
        self.lines = lines or Lines({}, bounds.line_limit)
        self._logger = logger
        self._new_id = new_id
        self._now = now
        self._sessions = Sessions(history=history, bounds=bounds, logger=logger, now=now, logs=logs)
        self.fair_use = FairUse(bounds, self._sessions.tally)
        self._draining = False
        self._registrations: set[asyncio.Task[Registered]] = set()
        self._by_key: dict[tuple[str, str, str], asyncio.Task[Registered]] = {}  # the latest for each key
        self._gates: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by session id
        self.arrivals = Arrivals()
        self.archives = Archives(
            history=history, sessions=self._sessions, arrivals=self.arrivals, gate=self._gate, new_id=new_id
        )

    def __repr__(self) -> str:
        state = " draining" if self._draining else ""
        return f"<Registry {self._sessions!r}{state}>"

    # ---- finding ---------------------------------------------------------------------------------------------

    def session(self, session_id: str) -> Session:
        """Return the live session, created on demand. Ownership is not checked here; the history does that."""
        return self._sessions.open(session_id)

    def find(self, session_id: str) -> Session | None:
        """Return the live session, or `None` if there is none."""
        return self._sessions.find(session_id)

    def is_live(self, session_id: str, stream_id: str) -> bool:
        """Return whether the stream is queued or running."""
        return self._live(session_id, stream_id) is not None

    def _live(self, session_id: str, stream_id: str) -> Stream | None:
        streams = self._sessions.streams(session_id)
        return next((stream for stream in streams if stream.stream_id == stream_id), None)

    async def stream_state(self, owner: str, stream_id: str) -> StreamState:
        """Return the state of a stream, live or ended. Raises `StreamNotFound`."""
        kept = await self.history.stream(owner, stream_id)
        stream = self._live(kept.session_id, stream_id)
        return stream.state() if stream else kept

    @property
    def draining(self) -> bool:
        """Whether the server is shutting down."""
        return self._draining

    # ---- registering -----------------------------------------------------------------------------------------

    async def register(self, ask: Submission) -> Registered:
        """Register a stream for a prompt. Cancelling the caller does not cancel the registration or the stream.

        Raises `Draining`, `TooManyStreams`, the subclasses of `Limited`, `SessionBusy`, `QueueFull`, `KeyReused`,
        `SessionNotFound`, the errors of `submission.exchange`, and those of the history if it cannot store the prompt.
        In all these cases nothing
        is registered.
        """
        place = None if ask.key is None else (ask.owner, ask.session_id, ask.key)
        earlier = None if place is None else self._by_key.get(place)
        registering = self._register(ask, earlier)
        task = asyncio.get_running_loop().create_task(registering, name=f"register {ask.session_id}")
        self._registrations.add(task)
        task.add_done_callback(self._registration_done)
        if place is not None:
            self._by_key[place] = task
            task.add_done_callback(lambda done: self._forget_key(place, done))
        return await asyncio.shield(task)

    def _registration_done(self, task: asyncio.Task[Registered]) -> None:
        """Log an unexpected error, since the caller may be gone. A refusal concerns only the caller."""
        self._registrations.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Refused):
            self._logger.error("registration_failed", exc_info=error)

    def _forget_key(self, place: tuple[str, str, str], task: asyncio.Task[Registered]) -> None:
        if self._by_key.get(place) is task:
            del self._by_key[place]

    async def _register(self, ask: Submission, earlier: asyncio.Task[Registered] | None) -> Registered:
        if earlier is not None:
            # The same key is being registered right now. Wait, so that the retry finds the result of the first.
            await asyncio.wait({earlier})
        # One registration at a time, so that the messages of a session are in the order of its claims. The history
        # bounds this wait: the holder of the gate waits for nothing else.
        async with self._gate(ask.session_id):
            return await self._admit(ask)

    def _gate(self, session_id: str) -> asyncio.Lock:
        return self._gates.setdefault(session_id, asyncio.Lock())

    async def _admit(self, ask: Submission) -> Registered:
        # A repeated request is answered whatever the load, and whatever has become of the messages that it refers to.
        # Otherwise the key is checked together with the admission.
        if ask.key is not None and (ask.looks_back or not self._has_capacity(ask)):
            known = await self.history.known_key(ask.owner, ask.session_id, ask.key)
            if known is not None:
                return await self._repeated(ask, known)
        self._check_capacity(ask)
        exchange = await self._exchange(ask)
        # Get the session before `admit`. If it is deleted in the meantime, this object then refuses the claim.
        session = self.session(ask.session_id)
        admission = await self.history.admit(exchange)
        if admission.known is not None:
            return await self._repeated(ask, admission.known)
        if exchange.follows_newest:
            exchange.prompt.parent_id = admission.newest
        stream = self._stream(ask, exchange, ask.options_over(admission.options))
        try:
            # Check again, because `admit` awaits. There is no await from here to the claim.
            self._check_capacity(ask)
            waits = session.running is not None
            cursor = Cursor(session.log.epoch, session.claim(stream, ask.if_active))
            self.fair_use.count(ask.owner)
        except Exception:
            await self.history.withdraw(stream.stream_id)
            raise
        self.arrivals.tell(ask.owner, ask.session_id, cursor)
        status = Status.QUEUED if waits else Status.THINKING
        return Registered(stream.stream_id, status, cursor, new=True, begins=admission.newest is None)

    async def _repeated(self, ask: Submission, known: KnownKey) -> Registered:
        """Return the earlier registration. Raises `KeyReused` if it was for a different request."""
        if known.request_hash != ask.request_hash:
            raise KeyReused("This Idempotency-Key was already used for a different request. Use a new key.")
        state = await self.stream_state(ask.owner, known.stream_id)
        log = self.session(ask.session_id).log
        before = log.before(known.stream_id)
        return Registered(
            known.stream_id, state.status, Cursor(log.epoch, log.head if before is None else before), False
        )

    def _has_capacity(self, ask: Submission) -> bool:
        try:
            self._check_capacity(ask)
        except Refused:
            return False
        return True

    def _check_capacity(self, ask: Submission) -> None:
        if self._draining:
            raise Draining("The server is shutting down. Try again in a moment.")
        session = self._sessions.find(ask.session_id)
        if session is not None:
            session.check(ask.if_active)
        # A prompt in a busy session replaces or follows the running stream, so it adds no load.
        is_new_load = session is None or session.running is None
        if is_new_load and self._sessions.tally.busy >= self.bounds.max_streams:
            raise TooManyStreams(
                f"{self.bounds.max_streams} answers are already in progress. Try again in a moment."
            )
        self.fair_use.check(ask.owner, adds_load=is_new_load)
        line = self.lines.of(ask.backend.name)
        # A prompt that replaces another one in the same line adds nothing to it.
        if line is not None and line.full and not (session and session.stands_in(line.backend)):
            raise LineFull(
                f"{line.waiting} messages are waiting for {line.backend} already. "
                "Try again later or choose a model of another server.",
                self.fair_use.until_one_ends(line.slots),
            )

    async def _exchange(self, ask: Submission) -> Exchange:
        messages: Sequence[Message] = ()
        if ask.looks_back and await self.history.check(ask.owner, ask.session_id):
            known = ask.parent_id or ask.regenerate or ask.continues
            messages = await self.history.near(ask.owner, ask.session_id, str(known), RECENT)
            messages = self._left(ask.session_id, messages)
        now = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        return exchange_of(ask, messages, new_id=self._new_id, now=now)

    def _left(self, session_id: str, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages without those of exchanges that are rolled back but have not ended yet."""
        streams = self._sessions.streams(session_id)
        doomed = {stream.stream_id for stream in streams if stream.drops_messages}
        return without(messages, {message.message_id for message in messages if message.stream_id in doomed})

    def _stream(self, ask: Submission, exchange: Exchange, options: Options) -> Stream:
        line = self.lines.of(ask.backend.name)
        return Stream(
            exchange,
            model=ask.model,
            backend=ask.backend,
            options=options,
            bounds=self.bounds,
            logger=self._logger,
            trace=ask.trace,
            ticket=line.ticket(ask.owner) if line is not None else None,
        )

    # ---- stopping --------------------------------------------------------------------------------------------

    async def stop(self, owner: str, stream_id: str, *, wait: float) -> StreamState:
        """Stop only this stream, wait up to `wait` seconds for its end, and return its state.

        A stream that has already ended, or completes in the meantime, keeps its outcome. Raises `StreamNotFound`.
        """
        state = await self.history.stream(owner, stream_id)
        stream = self._live(state.session_id, stream_id)
        if stream is None:
            return await self.history.stream(owner, stream_id)
        stream.signal(Reason.USER_STOP)
        await stream.wait_ended(wait)
        return stream.state()

    async def stop_session(self, owner: str, session_id: str, *, wait: float) -> StreamState | None:
        """Stop all running and queued streams of a session. Return the state of the first, `None` if there was none.

        Takes at most `wait` seconds in total. Raises `SessionNotFound`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        await self.history.session(owner, session_id)
        session = self._sessions.find(session_id)
        streams = session.signal_all(Reason.USER_STOP) if session else []
        if (gate := self._gates.get(session_id)) is not None:
            # Prompts that arrived before this stop may still be registering. The stop applies to them as well.
            with suppress(TimeoutError):
                await within(deadline - loop.time(), _passed(gate))
            streams += [
                late for late in self.session(session_id).signal_all(Reason.USER_STOP) if late not in streams
            ]
        if not streams:
            return None
        await asyncio.wait([stream.ended for stream in streams], timeout=max(0.0, deadline - loop.time()))
        return streams[0].state()

    async def delete_session(self, owner: str, session_id: str, *, wait: float) -> None:
        """Stop the streams of a session, delete its messages, and disconnect its viewers.

        `archives.restore` can undo this for `undo.SECONDS`.

        Raises `SessionNotFound`, or `SessionBusy` if a stream has not ended `wait` seconds after it was stopped:
        otherwise a new session with the same id could run concurrently with it.
        """
        await self.history.session(owner, session_id)
        session = self.session(session_id)
        try:
            await _empty(session, wait)
            await self.archives.delete(owner, session_id)
        except BaseException:
            session.undelete()
            raise
        self._sessions.drop(session)
        session.close_viewers()

    # ---- other nodes -----------------------------------------------------------------------------------------

    def abandon(self, session_id: str) -> None:
        """Another node owns the session now: stop its models, and end its viewers' responses. Synchronous.

        Nothing that its streams still write is kept: the new owner's epoch fences it.
        """
        session = self._sessions.find(session_id)
        if session is not None:
            self._sessions.drop(session)
            session.close_viewers()
            for stream in session.delete(Reason.SHUTDOWN):
                stream.lapse()

    async def retire(self, session_id: str, *, wait: float) -> None:
        """End a session's streams within `wait` seconds as `interrupted`, and its viewers' responses after that."""
        session = self._sessions.find(session_id)
        if session is None:
            return
        if streams := session.delete(Reason.SHUTDOWN):
            await asyncio.wait([stream.ended for stream in streams], timeout=wait)
        self._sessions.drop(session)
        session.close_viewers()

    # ---- shutdown --------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Refuse new prompts from now on."""
        self._draining = True

    async def close(self, *, patience: float = 0.0) -> None:
        """End all streams. They have `patience` seconds to finish; the remaining ones end `interrupted`.

        Takes at most `patience` + `shutdown_timeout` + `close_timeout`. The last is for the log and the history.
        """
        self.drain()
        self.archives.clear()
        self._sessions.stop_sweeping()
        if patience > 0:
            await self._all_ended(patience)
        for session in self._sessions:
            session.signal_all(Reason.SHUTDOWN)
        await self._all_ended(self.bounds.shutdown_timeout)
        for session in self._sessions:
            for stream in session:
                stream.lapse()
        await self._all_ended(self.bounds.close_timeout)
        self.lines.close()
        self._sessions.close()
        self.arrivals.close()

    async def _all_ended(self, timeout: float) -> None:
        """Wait for all streams, and for all registrations: a refused prompt still has to be withdrawn."""
        ends = [stream.ended for session in self._sessions for stream in session]
        pending: list[asyncio.Future[Any]] = [*ends, *self._registrations]
        if pending:
            await asyncio.wait(pending, timeout=timeout)

    def statistics(self) -> Statistics:
        """Return a snapshot of the gauges and counters."""
        return self._sessions.statistics(self.lines)

    def overview(self, owner: str | None = None) -> Overview:
        """Return what runs, what waits for what, and what ended last: of one owner, or of all.

        The statistics are those of the whole server.
        """
        live, more = live_streams(self._sessions, owner)
        ended = [
            end
            for end in reversed(self._sessions.tally.ends)
            if owner in (None, owner_of(end.state.session_id))
        ]
        return Overview(
            statistics=self.statistics(), live=live, more=more, ended=ended, draining=self._draining
        )


async def _passed(gate: asyncio.Lock) -> None:
    """Wait until all present waiters of the gate have passed it. The lock is fair (FIFO)."""
    async with gate:
        pass


async def _empty(session: Session, wait: float) -> None:
    """Stop all streams of a session that is being deleted, and wait for their ends. Raises `SessionBusy`."""
    if streams := session.delete():
        await asyncio.wait([stream.ended for stream in streams], timeout=wait)
    if session.running is not None:
        raise SessionBusy("The previous answer is still being stopped. Try again in a moment.")
