"""The registry: every live session and stream of this server. A POST registers, a DELETE stops, nothing else acts."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import msgspec

from app.chat.archive import Archive, renamed
from app.chat.branches import without
from app.chat.errors import (
    ArchiveTooLarge,
    Draining,
    KeyReused,
    Refused,
    SessionBusy,
    SessionExists,
    TooManyStreams,
)
from app.chat.ports import Logger, Options
from app.chat.records import Exchange, History, Message, SessionHead, SessionInfo, StreamState
from app.chat.states import Reason, Status
from app.chat.submission import Submission
from app.chat.submission import exchange as exchange_of
from app.log.cursors import Cursor
from app.streams.arrivals import Arrivals
from app.streams.bounds import Bounds
from app.streams.counters import Statistics
from app.streams.session import Session
from app.streams.sessions import Sessions
from app.streams.stream import Stream
from app.streams.undo import MOST_BYTES, UndoBuffer
from app.tasks.timeouts import within


class Registered(NamedTuple):
    """The answer to a registration. `new` is false where an idempotency key named an earlier one.

    `begins` says that the session has come into being with it.
    """

    stream_id: str
    status: Status
    cursor: Cursor
    new: bool
    begins: bool = False


class Registry:
    """Finds sessions, registers and stops streams, and ends them all when the server does."""

    def __init__(
        self,
        *,
        history: History,
        bounds: Bounds,
        logger: Logger,
        new_id: Callable[[], str] = lambda: secrets.token_urlsafe(12),
        now: Callable[[], float] = time.time,
    ) -> None:
        self.history = history
        self.bounds = bounds
        self._logger = logger
        self._new_id = new_id
        self._now = now
        self._sessions = Sessions(history=history, bounds=bounds, logger=logger, now=now)
        self._draining = False
        self._registrations: set[asyncio.Task[Registered]] = set()
        self._by_key: dict[tuple[str, str, str], asyncio.Task[Registered]] = {}  # the newest under each key
        self._gates: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by session
        self._trash = UndoBuffer()
        self.arrivals = Arrivals()

    def __repr__(self) -> str:
        state = " draining" if self._draining else ""
        return f"<Registry {self._sessions!r}{state}>"

    # ---- finding ---------------------------------------------------------------------------------------------

    def session(self, session_id: str) -> Session:
        """Return the live half of a session, made on demand. Whose it is, is the history's to say."""
        return self._sessions.open(session_id)

    def find(self, session_id: str) -> Session | None:
        """Return the live half of a session if there is one."""
        return self._sessions.find(session_id)

    def is_live(self, session_id: str, stream_id: str) -> bool:
        """Tell whether a stream has not ended."""
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
        """Register a stream for a prompt; the stream runs whatever becomes of the caller.

        Raises `Draining`, `TooManyStreams`, `SessionBusy`, `QueueFull`, `KeyReused`, `SessionNotFound`, what
        `asking.exchange` raises, or what the history raises when it cannot keep the prompt.
        Nothing was registered then.
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
        """Its caller may have left: what it was refused for is then nobody's business, any other error the log's."""
        self._registrations.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Refused):
            self._logger.error("registration_failed", exc_info=error)

    def _forget_key(self, place: tuple[str, str, str], task: asyncio.Task[Registered]) -> None:
        if self._by_key.get(place) is task:
            del self._by_key[place]

    async def _register(self, ask: Submission, earlier: asyncio.Task[Registered] | None) -> Registered:
        if earlier is not None:
            # The same request, sent again while the first was still being answered: it has to find what that made.
            await asyncio.wait({earlier})
        # One after the other, so that the messages of a session stand in the order of its claims. The bound of this
        # wait is the history's: whoever has the gate waits for nothing else.
        async with self._gate(ask.session_id):
            return await self._admit(ask)

    def _gate(self, session_id: str) -> asyncio.Lock:
        return self._gates.setdefault(session_id, asyncio.Lock())

    async def _admit(self, ask: Submission) -> Registered:
        standing = await self.history.standing(ask.owner, ask.session_id)
        if ask.key is not None and (known := await self._known(ask, ask.key)) is not None:
            return known
        self._check_capacity(ask)
        exchange = await self._exchange(ask, standing)
        # Before admitting, so that a delete of the session meanwhile is noticed: a deleted one takes no claim.
        session = self.session(ask.session_id)
        await self.history.admit(exchange)
        stream = self._stream(ask, exchange, ask.options_over(standing.options))
        try:
            # A second look, for admitting may have taken a while; from it to the claim nothing is awaited.
            self._check_capacity(ask)
            waits = session.running is not None
            cursor = Cursor(session.log.epoch, session.claim(stream, ask.if_active))
        except Exception:
            await self.history.withdraw(stream.stream_id)
            raise
        self.arrivals.tell(ask.owner, ask.session_id, cursor)
        status = Status.QUEUED if waits else Status.THINKING
        return Registered(stream.stream_id, status, cursor, new=True, begins=standing.newest is None)

    async def _known(self, ask: Submission, key: str) -> Registered | None:
        known = await self.history.known_key(ask.owner, ask.session_id, key)
        if known is None:
            return None
        if known.request_hash != ask.request_hash:
            raise KeyReused("This Idempotency-Key was already used for a different request. Use a new key.")
        state = await self.stream_state(ask.owner, known.stream_id)
        log = self.session(ask.session_id).log
        before = log.before(known.stream_id)
        return Registered(
            known.stream_id, state.status, Cursor(log.epoch, log.head if before is None else before), False
        )

    def _check_capacity(self, ask: Submission) -> None:
        if self._draining:
            raise Draining("The server is shutting down. Try again in a moment.")
        session = self._sessions.find(ask.session_id)
        if session is not None:
            session.check(ask.if_active)
        # A prompt in a busy session replaces or follows what runs there, so it adds nothing to the load.
        is_new_load = session is None or session.running is None
        if is_new_load and self._sessions.tally.busy >= self.bounds.max_streams:
            raise TooManyStreams(
                f"{self.bounds.max_streams} answers are already in progress. Try again in a moment."
            )

    async def _exchange(self, ask: Submission, standing: SessionHead) -> Exchange:
        looks_back = ask.looks_back and standing.newest is not None
        messages: Sequence[Message] = ()
        if looks_back:
            messages = self._left(ask.session_id, await self.history.messages(ask.owner, ask.session_id))
        now = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        return exchange_of(ask, standing, messages, new_id=self._new_id, now=now)

    def _left(self, session_id: str, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages that stay: not those of an exchange that is rolled back and has still to end."""
        streams = self._sessions.streams(session_id)
        doomed = {stream.stream_id for stream in streams if stream.drops_messages}
        return without(messages, {message.message_id for message in messages if message.stream_id in doomed})

    def _stream(self, ask: Submission, exchange: Exchange, options: Options) -> Stream:
        return Stream(
            exchange,
            model=ask.model,
            backend=ask.backend,
            options=options,
            bounds=self.bounds,
            logger=self._logger,
        )

    # ---- stopping --------------------------------------------------------------------------------------------

    async def stop(self, owner: str, stream_id: str, *, wait: float) -> StreamState:
        """Stop this stream and no other, wait up to `wait` seconds for its end, and return its state.

        The state of one that has ended, or ends by itself meanwhile, is returned as it is. Raises `StreamNotFound`.
        """
        state = await self.history.stream(owner, stream_id)
        stream = self._live(state.session_id, stream_id)
        if stream is None:
            return await self.history.stream(owner, stream_id)
        stream.signal(Reason.USER_STOP)
        await stream.wait_ended(wait)
        return stream.state()

    async def stop_session(self, owner: str, session_id: str, *, wait: float) -> StreamState | None:
        """Stop whatever runs or waits in a session; return the state of what ran, `None` if nothing did.

        Takes `wait` seconds in all, whatever it waits for.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        await self.history.session(owner, session_id)
        session = self._sessions.find(session_id)
        streams = session.signal_all(Reason.USER_STOP) if session else []
        if (gate := self._gates.get(session_id)) is not None:
            # Prompts that came before this stop are on their way into the line still: it is meant for them as well.
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
        """Delete a session: its streams stop, its viewers end, its messages are forgotten.

        For a moment `restore` undoes it.

        Raises `SessionBusy` if a stream has not ended `wait` seconds after it was stopped: a session that came into
        being under the same id would run beside it.
        """
        await self.history.session(owner, session_id)
        session = self.session(session_id)
        try:
            await _empty(session, wait)
            archive = await self._last_archive(owner, session_id)
            await self.history.delete(owner, session_id)
        except BaseException:
            session.undelete()
            raise
        if archive is not None:
            self._trash.put(owner, archive)
        self._sessions.drop(session)
        session.close_viewers()

    async def _last_archive(self, owner: str, session_id: str) -> Archive | None:
        with suppress(ArchiveTooLarge):
            return await self.history.archive(owner, session_id, most=MOST_BYTES)
        return None

    # ---- whole sessions --------------------------------------------------------------------------------------

    async def archive(self, owner: str, session_id: str) -> Archive:
        """Return everything of a session; of a running answer, the text so far. Raises `SessionNotFound`."""
        archive = await self.history.archive(owner, session_id)
        session = self.find(session_id)
        answer = session.log.answer if session else None
        messages = [
            msgspec.structs.replace(message, content=answer.content, reasoning=answer.thoughts)
            if answer is not None and message.message_id == answer.message_id
            else message
            for message in archive.messages
        ]
        return msgspec.structs.replace(archive, messages=messages, keys=[])

    async def adopt(self, owner: str, archive: Archive) -> str:
        """Keep a session from elsewhere, under ids of its own; return its id. The archive has no `flaw`."""
        own = renamed(archive, self._new_id)
        await self.history.restore(owner, own)
        return own.session_id

    async def restore(self, owner: str, session_id: str) -> SessionInfo:
        """Undo a delete that was a moment ago; if that fails, it may be tried again for as long as after the delete.

        A prompt may have begun another session under that id: then what was deleted comes back under a new one.
        Raises `NothingToRestore`.
        """
        async with self._gate(session_id):
            archive = self._trash.take(owner, session_id)
            try:
                restored_id = await self._bring_back(owner, archive)
            except BaseException:
                self._trash.put(owner, archive)
                raise
        return await self.history.session(owner, restored_id)

    async def _bring_back(self, owner: str, archive: Archive) -> str:
        try:
            await self.history.restore(owner, archive)
        except SessionExists:
            return await self.adopt(owner, archive)
        self.arrivals.tell(owner, archive.session_id)
        return archive.session_id

    # ---- the end of the server -------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take no new prompts."""
        self._draining = True

    async def close(self, *, patience: float = 0.0) -> None:
        """End everything: running answers have `patience` seconds to finish, the rest ends `interrupted`.

        Takes at most `patience` + `shutdown_timeout` + a moment for the log and the history.
        """
        self.drain()
        self._trash.clear()
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
        self._sessions.close()
        self.arrivals.close()

    async def _all_ended(self, timeout: float) -> None:
        """Wait for all streams, and for prompts that are being admitted: what is turned down has to be withdrawn."""
        ends = [stream.ended for session in self._sessions for stream in session]
        pending: list[asyncio.Future[Any]] = [*ends, *self._registrations]
        if pending:
            await asyncio.wait(pending, timeout=timeout)

    def statistics(self) -> Statistics:
        """Return what there is now, and what has been counted."""
        return self._sessions.statistics()


async def _passed(gate: asyncio.Lock) -> None:
    """Return once those who wait for the gate now have passed it: it lets them through in their order."""
    async with gate:
        pass


async def _empty(session: Session, wait: float) -> None:
    """Stop what is in line in a session that is being deleted, and see it ended. Raises `SessionBusy`."""
    if streams := session.delete():
        await asyncio.wait([stream.ended for stream in streams], timeout=wait)
    if session.running is not None:
        raise SessionBusy("The previous answer is still being stopped. Try again in a moment.")
