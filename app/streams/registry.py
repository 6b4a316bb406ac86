"""The registry of all live sessions and streams of this server. POST registers, DELETE stops, GET does neither."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from app.chat.branches import without
from app.chat.errors import (
    Draining,
    KeyReused,
    LeaseLost,
    LineFull,
    OwnerPrompts,
    Refused,
    SessionBusy,
    TooManyStreams,
)
from app.chat.ports import Logger, Options
from app.chat.records import Exchange, History, KnownKey, Message, StreamState
from app.chat.scoped_ids import owner_of
from app.chat.states import Outcome, Reason, Status
from app.chat.submission import Submission
from app.chat.submission import exchange as exchange_of
from app.log.cursors import Cursor
from app.streams.archives import Archives
from app.streams.arrivals import Arrivals
from app.streams.bounds import Bounds
from app.streams.counters import Statistics
from app.streams.fair_use import FairUse
from app.streams.line import Lines
from app.streams.overview import Overview, live_streams
from app.streams.session import Session
from app.streams.sessions import Logs, Sessions
from app.streams.stream import Stream

CLAIM_SECONDS = 0.25  # after which a prompt that is on disk has long become a stream
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
        logs: Logs | None = None,
        prepare: Callable[[str], Awaitable[None]] | None = None,
        own: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`logs`, `prepare` and `own` make the server a node of a cluster.

        `own` returns once this node owns a session, and may write it; it raises `LeaseLost` if another node does, and
        `HistoryUnavailable`. `prepare` does the same, and waits for what is away; it is called outside of the gate.
        """
        self.history = history
        self.bounds = bounds
        self.lines = lines or Lines({}, bounds.line_limit)
        self._logger = logger
        self._new_id = new_id
        self._now = now
        self._sessions = Sessions(history=history, bounds=bounds, logger=logger, now=now, logs=logs)
        self.fair_use = FairUse(bounds, self._sessions.tally)
        self._prepare = prepare
        self._own = own
        self._draining = False
        self._registrations: dict[asyncio.Task[Registered], str] = {}  # with their sessions
        self._by_key: dict[tuple[str, str, str], asyncio.Task[Registered]] = {}  # the latest for each key
        self._gates: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by session id
        self.arrivals = Arrivals()
        self.archives = Archives(
            history=history,
            sessions=self._sessions,
            arrivals=self.arrivals,
            gate=self.gate,
            new_id=new_id,
            prepare=prepare,
            own=own,
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

    def is_used(self, session_id: str) -> bool:
        """Return whether there is a live session, or somebody who waits for its first prompt."""
        return self.find(session_id) is not None or self.arrivals.is_awaited(owner_of(session_id), session_id)

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
        self._registrations[task] = ask.session_id
        task.add_done_callback(self._registration_done)
        if place is not None:
            self._by_key[place] = task
            task.add_done_callback(lambda done: self._forget_key(place, done))
        return await asyncio.shield(task)

    def _registration_done(self, task: asyncio.Task[Registered]) -> None:
        """Log an unexpected error, since the caller may be gone. A refusal concerns only the caller."""
        self._registrations.pop(task, None)
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
        if self._prepare is not None:
            # All wait at the same time, and not one after the other within the gate.
            await self._prepare(ask.session_id)
        # One registration at a time, so that the messages of a session are in the order of its claims. The history
        # bounds this wait: the holder of the gate waits for nothing else.
        async with self.gate(ask.session_id):
            if self._own is not None:
                await self._own(ask.session_id)
            return await self._admit(ask)

    async def knows(self, owner: str, session_id: str, key: str) -> bool:
        """Return whether a prompt with this key was accepted, or is being registered.

        Raises `SessionNotFound`, `HistoryUnavailable`.
        """
        if (owner, session_id, key) in self._by_key:
            return True
        return await self.history.known_key(owner, session_id, key) is not None

    def gate(self, session_id: str) -> asyncio.Lock:
        """Return the lock under which the prompts of a session are admitted."""
        return self._gates.setdefault(session_id, asyncio.Lock())

    async def _admit(self, ask: Submission) -> Registered:
        # A repeated request is answered whatever the load, and whatever has become of the messages that it refers to.
        # Otherwise the key is checked together with the admission.
        if ask.key is not None and (ask.looks_back or not self.has_room(ask)):
            known = await self.history.known_key(ask.owner, ask.session_id, ask.key)
            if known is not None:
                return await self._repeated(ask, known)
        self._check_capacity(ask)
        exchange = await self._exchange(ask)
        # Get the session before `admit`. If it is deleted in the meantime, this object then refuses the claim.
        session = self.session(ask.session_id)
        try:
            admission = await self.history.admit(exchange)
        except OwnerPrompts as error:
            self.fair_use.full(ask.owner, error.retry_after)  # other nodes have counted, too
            raise
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
        tell = self.arrivals.begin if admission.newest is None else self.arrivals.tell
        tell(ask.owner, ask.session_id, cursor)
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

    def has_room(self, ask: Submission) -> bool:
        """Return whether a prompt could be registered now."""
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
            replaces=ask.replaces,
        )

    # ---- stopping --------------------------------------------------------------------------------------------

    async def stop(self, owner: str, stream_id: str, *, wait: float) -> StreamState:
        """Stop only this stream, wait up to `wait` seconds for its end, and return its state.

        A stream that has already ended, or completes in the meantime, keeps its outcome. If that is `interrupted`, the
        server does not continue the answer by itself; if it does already, that stream is stopped, and its state
        returned.
        Raises `StreamNotFound`, `HistoryUnavailable`.
        """
        state = await self.history.stream(owner, stream_id)
        deadline = asyncio.get_running_loop().time() + wait
        stream = self._live(state.session_id, stream_id)
        if stream is None:
            ended = await self.history.stream(owner, stream_id)
            if self._own is not None and ended.outcome is None:
                raise LeaseLost  # it runs on another node by now
            if ended.outcome is not Outcome.INTERRUPTED:
                return ended
            await self.history.halt(ended.session_id, stream_id)
            unasked = await self._unasked(ended.session_id, deadline)
            stream = next((each for each in unasked if each.answer.message_id == ended.message_id), None)
            if stream is None:
                return ended
        stream.signal(Reason.USER_STOP)
        await stream.wait_ended(_left(deadline))
        await self._halt(stream)
        return stream.state()

    async def stop_session(self, owner: str, session_id: str, *, wait: float) -> StreamState | None:
        """Stop all running and queued streams of a session. Return the state of the first, `None` if there was none.

        Takes at most `wait` seconds in total. What was interrupted before is not continued by the server itself. Raises
        `SessionNotFound`, `HistoryUnavailable`, and `LeaseLost` on a node that does not own it.
        """
        deadline = asyncio.get_running_loop().time() + wait
        session = self._sessions.find(session_id)
        if session is None or session.running is None or session.running.owner != owner:
            await self.history.session(owner, session_id)  # else nothing is asked: its database may be away
            session = self._sessions.find(session_id)
        streams = session.signal_all(Reason.USER_STOP) if session else []
        if registering := self._registering(session_id):
            # Prompts that arrived before this stop. It applies to them as well.
            await asyncio.wait(registering, timeout=_left(deadline))
            session = self._sessions.find(session_id)
            late = session.signal_all(Reason.USER_STOP) if session else []
            streams += [stream for stream in late if stream not in streams]
        if not streams:
            if self._own is not None and session is None:
                self.session(session_id)  # raises `LeaseLost` if it has just moved: an answer may run there
            await self.history.halt(session_id)
            streams = await self._unasked(session_id, deadline)
            for stream in streams:
                stream.signal(Reason.USER_STOP)
        if not streams:
            return None
        await asyncio.wait([stream.ended for stream in streams], timeout=_left(deadline))
        if streams[0].lost:
            raise LeaseLost
        await self._halt(streams[-1])  # the newest answer: no other one would be continued
        return streams[0].state()

    def _registering(self, session_id: str) -> list[asyncio.Task[Registered]]:
        return [task for task, where in self._registrations.items() if where == session_id]

    async def _unasked(self, session_id: str, deadline: float) -> list[Stream]:
        """After an answer was halted: return the streams with which the server continued it by itself before.

        Those that were admitted before are waited for, until `deadline` (loop time) or for a moment.
        """
        if registering := self._registering(session_id):
            await asyncio.wait(registering, timeout=max(CLAIM_SECONDS, _left(deadline)))
        return [stream for stream in self._sessions.streams(session_id) if stream.unasked]

    async def _halt(self, stream: Stream) -> None:
        """After a stop: if it came too late to be the reason for the end, nothing continues the answer unasked.

        Its session may be on the way to another node. Raises `LeaseLost` if it is there, `HistoryUnavailable`.
        """
        if stream.lost:
            raise LeaseLost
        if stream.interrupted:
            await self.history.halt(stream.session_id, stream.stream_id)

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
            await self.history.delete(owner, session_id, undoable=True)
        except BaseException:
            session.undelete()
            raise
        self._sessions.deleted(session)
        session.close_viewers()

    # ---- other nodes -----------------------------------------------------------------------------------------

    def take_up(self, ask: Submission, exchange: Exchange) -> None:
        """Run a stream that an earlier owner of the session has registered, and of which no text came. Synchronous.

        If its `start` is in the log already, the log's `written` is its view. Raises the errors of `Session.check`.
        """
        session = self.session(ask.session_id)
        stream = self._stream(ask, exchange, ask.options)
        stream.elsewhere = True
        written = session.log.written
        if written is not None and written.stream_id == stream.stream_id:
            stream.view = written
        before = session.claim(stream, "enqueue")
        cursor = Cursor(session.log.epoch, before if stream.view is None else stream.view.seq - 1)
        self.arrivals.tell(ask.owner, ask.session_id, cursor)

    def abandon(self, session_id: str) -> None:
        """Another node owns the session now: stop its models, and end its viewers' responses. Synchronous.

        Its streams get no `end` here: the new owner ends them or goes on with them, and whoever comes back finds that
        there. Who waits for its first prompt comes back as well.
        """
        session = self._sessions.find(session_id)
        if session is not None:
            self._sessions.drop(session)
            session.close_viewers()
            session.move(lost=True)
        self.arrivals.tell(owner_of(session_id), session_id)

    async def retire(self, session_id: str, *, wait: float) -> int:
        """End a session's streams as `interrupted` within about `wait` seconds, and then its viewers' responses.

        Return how many streams there were. What has no text, or has not ended by then, is left to the next owner. The
        caller holds the session's gate.
        """
        session = self._sessions.find(session_id)
        if session is None:
            return 0
        streams = session.move()
        if streams:
            await asyncio.wait([stream.ended for stream in streams], timeout=wait)
            for stream in streams:
                stream.lapse()
            await asyncio.wait([stream.ended for stream in streams], timeout=self.bounds.close_timeout)
        self._sessions.drop(session)
        session.close_viewers()
        session.move(lost=True)
        return len(streams)

    # ---- shutdown --------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Refuse new prompts from now on."""
        self._draining = True

    async def close(self, *, patience: float = 0.0) -> None:
        """End all streams. They have `patience` seconds to finish; the remaining ones end `interrupted`.

        Takes at most `patience` + `shutdown_timeout` + `close_timeout`. The last is for the log and the history.
        """
        self.drain()
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


def _left(deadline: float) -> float:
    """Return the seconds until a moment of the loop's time."""
    return max(0.0, deadline - asyncio.get_running_loop().time())


async def _empty(session: Session, wait: float) -> None:
    """Stop all streams of a session that is being deleted, and wait for their ends. Raises `SessionBusy`."""
    if streams := session.delete():
        await asyncio.wait([stream.ended for stream in streams], timeout=wait)
    if session.running is not None:
        raise SessionBusy("The previous answer is still being stopped. Try again in a moment.")
