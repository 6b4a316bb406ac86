"""The live part of a session: its log, the queue of its streams, and the conductor that runs them one by one.

Streams are queued in the order of their POSTs. One task, the conductor, takes the first stream of the queue, appends
its `start`, runs its producer, waits until the upstream is closed, appends its `end`, and only then takes the next.
There is one conductor per session, so at most one stream runs at a time and no check is needed. Nobody cancels the
conductor: signals go to streams. A stream that is signalled, or has finished with its model, has a bound; after that
the conductor moves on without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from app.chat.errors import Fenced, LeaseLost, QueueFull, SessionBusy
from app.chat.ports import Logger
from app.chat.records import History
from app.chat.states import IfActive, Outcome, Reason, Status
from app.log.answer_view import AnswerView
from app.log.entries import StatusChange
from app.log.session_log import SessionLog
from app.streams.bounds import Bounds
from app.streams.counters import Counters
from app.streams.model_request import request_for
from app.streams.producer import Producer
from app.streams.stream import INTERNAL, Stream
from app.tasks.waiting import first_done

# Superseded streams leave the queue within the bound; only a flood of prompts behind a hanging stream gets this far.
MOST_QUEUED = 256


class Session:
    """A live session. Its public methods are synchronous, so each decision is atomic."""

    def __init__(
        self,
        session_id: str,
        *,
        log: SessionLog,
        history: History,
        bounds: Bounds,
        logger: Logger,
        tally: Counters,
    ) -> None:
        self.session_id = session_id
        self.log = log
        self._viewers: dict[object, Callable[[], None]] = {}
        self._history = history
        self._bounds = bounds
        self._logger = logger
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._line: list[Stream] = []  # short; an empty deque takes 600 bytes
        self._fence = log.fence
        self._conductor: asyncio.Task[None] | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._deleted = False
        self._moving = False  # to another node
        self._lost = False  # another node owns it
        self._closed = False  # for viewers
        self.touched = self._loop.time()

    def __repr__(self) -> str:
        return f"<Session {self.session_id} line={list(self._line)} viewers={self.viewers} log={self.log!r}>"

    def __iter__(self) -> Iterator[Stream]:
        """The streams in the queue, the running one first."""
        return iter(tuple(self._line))

    @property
    def running(self) -> Stream | None:
        """The stream at the front of the queue."""
        return self._line[0] if self._line else None

    @property
    def running_id(self) -> str | None:
        """The id of the stream at the front of the queue."""
        return self._line[0].stream_id if self._line else None

    @property
    def idle(self) -> bool:
        """Whether this object can be dropped without losing anything but its log."""
        return not (self._line or self._viewers or self._conductor)

    @property
    def is_deleted(self) -> bool:
        """Whether it was deleted, or is about to be."""
        return self._deleted

    def stands_in(self, backend: str) -> bool:
        """Return whether one of its streams has, or will have, a place in line for that model server."""
        return any(stream.ticket is not None and stream.ticket.backend == backend for stream in self._line)

    # ---- claims and signals ----------------------------------------------------------------------------------

    def check(self, if_active: IfActive) -> None:
        """Raise `LeaseLost`, `SessionBusy` or `QueueFull` if a claim made now would be refused."""
        if self._moving:
            raise LeaseLost
        if self._deleted:
            raise SessionBusy("This chat is being deleted. Start a new one.")
        if if_active == "reject" and any(not stream.cancelled for stream in self._line):
            raise SessionBusy("An answer is in progress. Wait for it, or stop it.")
        if len(self._line) >= (self._bounds.queue_limit if if_active == "enqueue" else MOST_QUEUED):
            raise QueueFull(f"{len(self._line)} messages are already waiting in this chat. Try again later.")

    def claim(self, stream: Stream, if_active: IfActive) -> int:
        """Queue `stream`, and signal the streams ahead of it as `if_active` says. Synchronous, hence atomic.

        Returns the sequence number just before the stream's `start`. It is exact, because a signalled stream appends
        only its `end` (and its `start` if it had not started). For an enqueued stream it is a lower bound.
        Raises the errors of `check`, without having changed anything.
        """
        self.check(if_active)
        self._fence += 1
        stream.fence = self._fence
        if stream.ticket is not None and (if_active != "enqueue" or not self._line):
            tickets = (older.ticket for older in self._line)
            stream.ticket.expect(next((each for each in tickets if each and each.pending), None))
        if if_active in ("supersede", "rollback"):
            for older in self._line:
                older.signal(Reason.NEW_STREAM)
                older.discarded = older.discarded or if_active == "rollback"
        still_to_come = sum(older.owes for older in self._line) if if_active != "enqueue" else 0
        if self._line:
            stream.trace.waits(self._line[-1].stream_id)
        else:
            self._tally.began(stream.owner)
        self._line.append(stream)
        self.touched = self._loop.time()
        self._conduct_on()
        self._watch_viewers(at_least=self._bounds.arrival_grace)
        return self.log.promise(still_to_come)

    def signal_all(self, reason: Reason) -> list[Stream]:
        """Signal every stream in the queue, and return them in order."""
        for stream in self._line:
            stream.signal(reason)
        return list(self._line)

    def delete(self) -> list[Stream]:
        """Signal all streams because the session is being deleted, and refuse new prompts."""
        self._deleted = True
        return self.signal_all(Reason.SESSION_DELETED)

    def move(self, *, lost: bool = False) -> list[Stream]:
        """Signal all streams because another node will own the session, or does (`lost`), and refuse new prompts.

        Streams of a lost session get no `end` here: their new owner ends them, or goes on with them. So do those of
        which nobody has seen any text.
        """
        self._moving = True
        self._lost = self._lost or lost
        return self.signal_all(Reason.SHUTDOWN)

    def undelete(self) -> None:
        """Accept prompts again: the session could not be deleted."""
        self._deleted = False

    # ---- viewers ---------------------------------------------------------------------------------------------

    @property
    def viewers(self) -> int:
        """The number of connected viewers."""
        return len(self._viewers)

    def viewer_came(self, viewer: object, close: Callable[[], None]) -> None:
        """Add a viewer and stop the grace timer. `close` is called when viewers are closed, or now if they were."""
        self._viewers[viewer] = close
        self._forget_grace()
        if self._closed:
            close()

    def viewer_left(self, viewer: object) -> None:
        """Remove a viewer. If it was the last, the streams have the grace time left."""
        self._viewers.pop(viewer, None)
        self.touched = self._loop.time()
        if (stream := self.running) is not None:
            self._say(stream, "stream_client_disconnected", viewers=self.viewers)
        self._watch_viewers()

    def close_viewers(self) -> None:
        """Ask every viewer to read the rest of the log and leave, including viewers that are added later."""
        self._closed = True
        for close in tuple(self._viewers.values()):
            close()

    def _watch_viewers(self, at_least: float = 0.0) -> None:
        grace = self._bounds.viewer_grace
        if grace is None or self._viewers or not self._line:
            return
        self._forget_grace()
        self._grace = self._loop.call_later(max(grace, at_least), self._abandon)

    def _abandon(self) -> None:
        self._grace = None
        self.signal_all(Reason.ABANDONED)

    def _forget_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    # ---- the conductor ---------------------------------------------------------------------------------------

    def _conduct_on(self) -> None:
        if self._conductor is None:
            self._conductor = self._loop.create_task(self._conduct(), name=f"conductor {self.session_id}")
            self._conductor.add_done_callback(self._conductor_done)

    def _conductor_done(self, conductor: asyncio.Task[None]) -> None:
        """Restart the conductor if streams are left: the loop's teardown may cancel it, and each needs its `end`."""
        self._conductor = None
        if not conductor.cancelled() and (error := conductor.exception()) is not None:
            self._logger.error("conductor_crashed", session=self.session_id, exc_info=error)
        if self._line:
            self._conduct_on()
        else:
            self._forget_grace()

    async def _conduct(self) -> None:
        while self._line:
            stream = self._line[0]
            try:
                await self._turn(stream)
            except Fenced:
                await self._yield(stream)
            except Exception as error:  # noqa: BLE001 - logged; no error may block the queue
                self._log_error("turn_failed", stream, error)
                await self._give_up(stream)

    async def _yield(self, stream: Stream) -> None:
        """Stop the model of a stream that is another node's. It has no `end` here, and nothing of it is stored."""
        stream.lost = True
        stream.signal(Reason.SHUTDOWN)
        if stream.producer is not None:
            await asyncio.wait({stream.producer, stream.overdue}, return_when=asyncio.FIRST_COMPLETED)
            if not stream.producer.done():
                self._outlived(stream, stream.producer)
        stream.conclude(Outcome.INTERRUPTED)
        self._leave(stream)

    async def _give_up(self, stream: Stream) -> None:
        """End a stream in memory only. The log has failed, and that must not block the session."""
        stream.signal(Reason.SHUTDOWN, INTERNAL)
        if stream.producer is not None:
            await first_done(stream.producer, stream.overdue)
        stream.problem = (stream.ending and stream.ending.problem) or stream.produced.problem or INTERNAL
        stream.conclude(Outcome.FAILED)
        self._leave(stream)

    async def _turn(self, stream: Stream) -> None:
        """Run one stream from its `start` to its `end`. Resumes a stream that an earlier conductor left unfinished."""
        if stream.view is None:
            if self._leaves(stream):
                raise Fenced("the next owner of the session starts it, or tells its end")
            await self._drop_replaced(stream)
            await self.log.append(stream.fence, stream.start_event())
            stream.view = self.log.written
            stream.trace.turn()
            self._tally.started += 1
            self._say(stream, "stream_start", model=stream.model.model_id)
        if stream.producer is None and stream.view is not None and not stream.cancelled:
            await self._begin(stream, stream.view)
        if stream.producer is not None:
            await first_done(stream.producer, stream.overdue)
            if not stream.producer.done():
                self._outlived(stream, stream.producer)
            elif stream.signalled_at is not None and stream.generation is not None and stream.produced.closed:
                self._tally.measures.closed.observe(self._loop.time() - stream.signalled_at)
        await self._end(stream)

    def _leaves(self, stream: Stream) -> bool:
        """Return whether a stream ends here because its session goes to another node, and for nothing before that."""
        return self._moving and stream.ending is not None and stream.ending.reason is Reason.SHUTDOWN

    async def _drop_replaced(self, stream: Stream) -> None:
        try:
            for stream_id in stream.replaces:
                await self._history.discard(stream_id)
        except Exception as error:  # noqa: BLE001 - it is logged; the prompt is answered all the same
            self._log_error("history_failed", stream, error)

    async def _begin(self, stream: Stream, view: AnswerView) -> None:
        stream.enter(Status.THINKING)
        producer = Producer(stream, view, self.log, self._history, bounds=self._bounds, logger=self._logger)
        producing = producer.run(lambda: request_for(stream, self._history, self._bounds))
        # Create the task before the event, so that any signal from now on can cancel it. It first runs at the next
        # await that suspends.
        stream.producer = self._loop.create_task(producing, name=f"producer {stream.stream_id}")
        await self.log.append(stream.fence, StatusChange(stream.stream_id, Status.THINKING))
        self._say(stream, "stream_status", status=str(Status.THINKING))

    def _outlived(self, stream: Stream, producer: asyncio.Task[None]) -> None:
        """Record a producer that exceeded its bound. The fence keeps it out of the log; it counts until it ends."""
        if stream.zombie:
            return
        stream.zombie = True
        self._tally.zombies += 1
        producer.add_done_callback(self._zombie_ended)
        since = stream.signalled_at if stream.signalled_at is not None else self._loop.time()
        waited = self._loop.time() - since
        self._tally.measures.outlasted += 1
        if len(self._line) > 1:
            self._tally.measures.waited.observe(waited)
        waited_ms = round(waited * 1000)
        fields = {"trace": stream.stream_id, "session": self.session_id}
        self._logger.warning("prev_stream_timeout_on_cancel", **fields, waited_ms=waited_ms)

    def _zombie_ended(self, producer: asyncio.Task[None]) -> None:
        self._tally.zombies -= 1
        error = None if producer.cancelled() else producer.exception()
        self._logger.info("zombie_ended", session=self.session_id, error=error and repr(error))

    async def _end(self, stream: Stream) -> None:
        """Clean up, in this order: history, `end`, queue. The upstream is already closed, or the bound has passed."""
        if self._lost:
            raise Fenced("another node owns the session")
        if self._leaves(stream):
            view = stream.view
            if view is None or not (view.tokens or view.thought_tokens):
                raise Fenced("the next owner of the session starts it again")
        outcome = stream.verdict()
        stream.conclude(outcome)
        stream.trace.closed(stream.state)
        self._say(stream, "stream_cleanup")
        await self._remember(stream)
        end = stream.end_event()
        stream.told = (
            True  # together with the append, which may wait until viewers can read it: claims come meanwhile
        )
        await self.log.append(stream.fence, end)
        self._leave(stream)

    async def _remember(self, stream: Stream) -> None:
        try:
            # Even if the session is being deleted: the delete can be undone.
            if stream.view is None or (stream.discarded and stream.begun):  # keep the answer as it was before
                content, reasoning = stream.answer.content, stream.answer.reasoning
            else:
                content, reasoning = stream.view.content, stream.view.thoughts
            state = stream.state()
            await self._history.finish(state, content, reasoning)
            if stream.discarded:
                await self._history.discard(stream.stream_id)
                if stream.unasked and state.continues is not None:
                    await self._history.discard(state.continues)  # to its user it was one answer all the time
        except Exception as error:  # noqa: BLE001 - it is logged
            # The viewers already have the answer, so a failure to store it must not fail the stream.
            self._log_error("history_failed", stream, error)

    def _leave(self, stream: Stream) -> None:
        """Take the stream off the queue if it is the first, count it, and mark it ended."""
        if self._line and self._line[0] is stream:
            del self._line[0]
            if not self._line:
                self._tally.left(stream.owner)
        if stream.lost:
            self._part(stream)
            return
        if stream.ticket is not None:
            stream.ticket.leave()  # if its upstream is not known to be closed, others must not wait for it any more
        state = stream.state()
        self._tally.count_end(state, stream.model)
        if state.outcome is Outcome.COMPLETE:
            self._say(stream, "stream_status", status=str(state.outcome))
        figures = {"duration_ms": state.duration_ms, "ttft_ms": state.ttft_ms, "tokens": state.tokens}
        self._say(stream, "stream_end", outcome=str(state.outcome), **figures)
        # A stream that never started delayed nobody, however long it stayed queued after its signal.
        held_up = self._line and stream.producer is not None and not stream.zombie
        if held_up and stream.signalled_at is not None:
            waited = self._loop.time() - stream.signalled_at
            self._tally.measures.waited.observe(waited)
            self._say(stream, "prev_stream_finished_cleanly", waited_ms=round(waited * 1000))
        if not stream.ended.done():
            stream.ended.set_result(None)
        stream.trace.ended()
        self.touched = self._loop.time()

    def _part(self, stream: Stream) -> None:
        """Mark a stream ended that another node has ended and counted."""
        if stream.ticket is not None:
            stream.ticket.leave()
        self._say(stream, "stream_lost", upstream_closed=stream.produced.closed)
        if not stream.ended.done():
            stream.ended.set_result(None)
        stream.trace.ended()

    def _log_error(self, event: str, stream: Stream, error: Exception) -> None:
        self._logger.error(event, trace=stream.stream_id, session=self.session_id, exc_info=error)

    def _say(self, stream: Stream, event: str, **fields: object) -> None:
        self._logger.info(event, trace=stream.stream_id, session=self.session_id, **fields)
