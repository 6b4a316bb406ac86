"""One stream: its request, its progress, and the single signal that ends it early."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from app.chat.contents import Problem
from app.chat.errors import IllegalTransition
from app.chat.ports import Backend, Generation, Logger, Model, Options, Usage
from app.chat.records import Exchange, StreamState
from app.chat.sizes import utf8_size
from app.chat.states import OUTCOMES, Outcome, Reason, Status, advance
from app.chat.tracing import UNTRACED, Trace
from app.log.answer_view import AnswerView
from app.log.entries import Begun, End, Prompt, Start, end_of
from app.streams.bounds import Bounds
from app.streams.line import Ticket

INTERNAL = Problem("internal", "Something went wrong on the server. The log has the details.")


class Ending(NamedTuple):
    """Why a stream ends before its model has finished, with the problem to report if there is one."""

    reason: Reason
    problem: Problem | None = None


class Produced:
    """The result of a producer: how the model finished, and whether the upstream is closed. Only the producer writes.

    It is not a return value because a cancelled producer returns nothing, yet still closes its upstream.
    """

    __slots__ = ("closed", "finish_reason", "problem", "settling", "size", "ttft", "usage")

    def __init__(self, size: int) -> None:
        self.size = size  # bytes of the answer and the reasoning so far, in UTF-8
        self.ttft: float | None = None  # s from the registration to the first piece
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.problem: Problem | None = None
        # True before anything is opened. False from the first attempt to open until the connection is known closed.
        self.closed = True
        self.settling = False  # the producer has finished with the model and is only cleaning up


class Stream:
    """One generation of one answer. A registration creates it, its session drives it, anyone may signal it."""

    __slots__ = (
        "_bounds",
        "_lapse",
        "_logger",
        "_loop",
        "answer",
        "backend",
        "begun",
        "created",
        "discarded",
        "duration",
        "elsewhere",
        "ended",
        "ending",
        "fence",
        "generation",
        "lost",
        "model",
        "options",
        "outcome",
        "overdue",
        "owner",
        "problem",
        "produced",
        "producer",
        "prompt",
        "replaces",
        "session_id",
        "signalled_at",
        "status",
        "stream_id",
        "ticket",
        "told",
        "trace",
        "unasked",
        "view",
        "zombie",
    )

    def __init__(
        self,
        exchange: Exchange,
        *,
        model: Model,
        backend: Backend,
        options: Options,
        bounds: Bounds,
        logger: Logger,
        trace: Trace = UNTRACED,
        ticket: Ticket | None = None,
        replaces: Sequence[str] = (),
    ) -> None:
        self.trace = trace
        self.ticket = ticket  # its place in line for the model server, `None` if that has no line
        self.stream_id = exchange.stream.stream_id
        self.session_id = exchange.session_id
        self.unasked = exchange.unasked  # the server continues the answer by itself
        self.owner = exchange.owner
        self.prompt = exchange.prompt
        self.answer = exchange.answer
        self.begun: Begun | None = None  # the answer so far, if this stream continues it
        if exchange.stream.continues is not None:
            content = exchange.answer.content
            self.begun = Begun(content, exchange.answer.reasoning if content else "")
        self.model = model
        self.backend = backend
        self.options = options
        self._bounds = bounds
        self._logger = logger
        self._loop = asyncio.get_running_loop()

        self.fence = 0  # set by `Session.claim`
        self.status = Status.QUEUED
        self.view: AnswerView | None = None  # the log's view of the answer, from the `start` on
        self.producer: asyncio.Task[None] | None = None
        self.generation: Generation | None = None
        begun = self.begun or Begun()
        self.produced = Produced(utf8_size(begun.content) + utf8_size(begun.reasoning))

        self.ending: Ending | None = None  # the first signal wins
        self.outcome: Outcome | None = None
        self.problem: Problem | None = None
        self.discarded = False  # a rollback removes the exchange from the conversation
        self.replaces = replaces  # streams whose exchanges are removed before it starts
        self.told = False  # its `end` is in the log, or on its way there
        self.elsewhere = False  # an earlier owner has begun it, and may have a request to the model still
        self.lost = False  # another node has ended it; what this one knows of it is old
        self.zombie = False  # its producer exceeded its bound
        self.overdue: asyncio.Future[None] = self._loop.create_future()  # done once the bound has passed
        self.ended: asyncio.Future[None] = self._loop.create_future()  # done once `end` is in the log
        self._lapse: asyncio.TimerHandle | None = None
        self.created = self._loop.time()
        self.signalled_at: float | None = None
        self.duration: float | None = None  # s from the registration to the end

    def __repr__(self) -> str:
        state = self.outcome or self.status
        signal = f" signalled={self.ending.reason}" if self.ending else ""
        return f"<Stream {self.stream_id} session={self.session_id} fence={self.fence} {state}{signal}>"

    # ---- the signal ------------------------------------------------------------------------------------------

    def signal(self, reason: Reason, problem: Problem | None = None) -> bool:
        """End this stream early, synchronously and in every layer. The first signal wins.

        Returns whether this call took effect. The task is cancelled only once: a second cancel would break the
        clean-up that the first one began. The connection is closed here too, so a stop does not wait for a task to run.
        """
        if self.ending is not None or self.outcome is not None or self.produced.settling:
            return False
        self.ending = Ending(reason, problem)
        self.signalled_at = self._loop.time()
        self.limit_cleanup()
        if self.generation is not None:
            self.generation.abort()
        if self.producer is not None:
            self.producer.cancel()
        if self.ticket is not None:
            self.ticket.give_up()  # now, so that nobody waits for this stream's turn
        self._logger.info(
            "stream_cancelled", trace=self.stream_id, session=self.session_id, reason=str(reason)
        )
        return True

    def limit_cleanup(self) -> None:
        """Start the `supersede_timeout` after which the stream is overdue. Idempotent."""
        if self._lapse is None:
            self._lapse = self._loop.call_later(self._bounds.supersede_timeout, self.lapse)

    def lapse(self) -> None:
        """Mark the stream overdue, so that its session moves on without it. Idempotent."""
        if not self.overdue.done():
            self.overdue.set_result(None)

    @property
    def cancelled(self) -> bool:
        """Whether this stream has been signalled to end."""
        return self.ending is not None

    @property
    def interrupted(self) -> bool:
        """Whether it ends, or has ended, because its server or its session leaves."""
        if self.ending is None:
            return self.outcome is Outcome.INTERRUPTED
        return OUTCOMES[self.ending.reason] is Outcome.INTERRUPTED

    @property
    def drops_messages(self) -> bool:
        """Whether its messages are removed from the conversation at its end. A continued answer is not: it is older."""
        return self.discarded and self.begun is None

    @property
    def owes(self) -> int:
        """How many events a signalled stream has still to append: `end`, and `start` if it has not started."""
        if self.told:
            return 0
        return 1 if self.view is not None else 2

    async def wait_ended(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for `end` to be in the session log; return whether it is."""
        await asyncio.wait([self.ended], timeout=timeout)
        return self.ended.done()

    # ---- state transitions -----------------------------------------------------------------------------------

    def enter(self, status: Status) -> None:
        """Change the status. Raises `IllegalTransition` if the table in `states` forbids it."""
        self.status = advance(self.status, status)

    def first_token(self) -> None:
        """Record that the model has begun to answer."""
        self.enter(Status.STREAMING)
        self.produced.ttft = self._loop.time() - self.created
        self.trace.first_token()

    def conclude(self, outcome: Outcome) -> None:
        """Set the outcome and the duration, and stop the timer. Only the first call has an effect."""
        if self.outcome is None:
            self.enter(Status.ENDED)
            self.outcome = outcome
            self.duration = self._loop.time() - self.created
            if self._lapse is not None:
                self._lapse.cancel()

    def verdict(self) -> Outcome:
        """Return the outcome, from the signal, an error, or the finish reason, in that order; set `problem`."""
        if self.ending is not None:
            self.problem = self.ending.problem
            return OUTCOMES[self.ending.reason]
        self.problem = self.produced.problem
        if self.problem is not None:
            return Outcome.FAILED
        # Without a finish reason the producer was cancelled by something else, such as the loop's teardown.
        return Outcome.COMPLETE if self.produced.finish_reason else Outcome.INTERRUPTED

    # ---- state and events ------------------------------------------------------------------------------------

    @property
    def tokens(self) -> int:
        """The number of pieces of the answer in the log."""
        return self.view.tokens if self.view else 0

    def state(self) -> StreamState:
        """Return a snapshot of the state."""
        duration = self.duration if self.duration is not None else self._loop.time() - self.created
        produced, view = self.produced, self.view
        return StreamState(
            stream_id=self.stream_id,
            session_id=self.session_id,
            status=self.status,
            outcome=self.outcome,
            finish_reason=produced.finish_reason,
            model=self.model.model_id,
            message_id=self.answer.message_id,
            continues=self.answer.stream_id if self.begun else None,
            tokens=view.tokens if view else 0,
            duration_ms=_ms(duration),
            ttft_ms=None if produced.ttft is None else _ms(produced.ttft),
            reasoning_tokens=view.thought_tokens if view else 0,
            thought_ms=view.thought_ms(self.created + duration) if view else None,
            upstream_closed=produced.closed and not self.elsewhere,
            usage=produced.usage,
            error=self.problem or msgspec.UNSET,
            note=view.note if view else "",
            place=self.ticket.place if self.ticket is not None and self.ticket.waits else None,
        )

    def start_event(self) -> Start:
        """Return the `start` event."""
        return Start(
            stream_id=self.stream_id,
            message_id=self.answer.message_id,
            model=self.model.model_id,
            prompt=Prompt(self.prompt.message_id, self.prompt.content, self.prompt.images),
            parent_id=self.prompt.parent_id,
            continued=self.begun,
        )

    def end_event(self) -> End:
        """Return the `end` event. Raises `IllegalTransition` if the stream has no outcome yet."""
        state = self.state()
        if state.outcome is None:
            raise IllegalTransition("a stream that has not ended has no end event")
        return end_of(state, state.outcome)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
