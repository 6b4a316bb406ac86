"""The producer of a stream: reads a generation, appends it to the session log, and always closes the upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from app.chat.contents import Problem
from app.chat.errors import (
    Fenced,
    FirstTokenTimeout,
    HistoryUnavailable,
    ImageNotFound,
    LineTimeout,
    TokenTimeout,
    UpstreamBusy,
    UpstreamError,
)
from app.chat.notes import in_line
from app.chat.ports import Delta, Generation, Logger, Note, Request
from app.chat.records import History
from app.chat.sizes import utf8_size
from app.chat.states import Reason, Status
from app.log.answer_view import AnswerView
from app.log.entries import StatusChange
from app.log.session_log import SessionLog
from app.streams.bounds import Bounds
from app.streams.line import Ticket
from app.streams.stream import INTERNAL, Stream
from app.tasks.idle_timer import IdleTimer
from app.tasks.timeouts import within

EMPTY = "empty"  # the finish reason of an answer without text
NOTE_LENGTH = 200  # characters
LOOK_BYTES = 64 * 1024  # of an answer, after which its size is looked at again
Prepare = Callable[[], Awaitable[Request]]


class _TooLong(Exception):
    """The answer has reached its limit and is cut off there."""


class Producer:
    """Generates the answer of one stream into a log. `view` is the log's view of that answer."""

    def __init__(
        self,
        stream: Stream,
        view: AnswerView,
        log: SessionLog,
        history: History,
        *,
        bounds: Bounds,
        logger: Logger,
    ) -> None:
        self._stream = stream
        self._view = view
        self._log = log
        self._history = history
        self._bounds = bounds
        self._logger = logger
        self._loop = asyncio.get_running_loop()
        self._log_tokens = _token_logger(logger) if bounds.log_tokens else _log_nothing
        self._look_at = 0  # the size of the answer in bytes at which `_look` is next due

    async def run(self, prepare: Prepare) -> None:
        """Generate until the answer is complete or the stream is signalled.

        Runs in a task that only `Stream.signal` cancels. The result goes to `stream.produced`; nothing is raised.
        """
        stream, produced = self._stream, self._stream.produced
        # Not in `__init__`: a task that is cancelled before its first step would leak the timer.
        self._patience = IdleTimer(
            self._bounds.first_token_timeout,
            lambda seconds: self._expire(_silent_from_the_start(seconds)),
            alive=lambda: stream.generation.heard if stream.generation is not None else 0.0,
            longest=self._bounds.quiet_timeout,
        )
        try:
            if stream.ticket is not None:
                await self._stand_in_line(stream.ticket)
            request = await prepare()
            produced.closed = False
            stream.generation = stream.backend.generate(request)
            await self._read(stream.generation)
        except _TooLong:
            produced.finish_reason = "length"
        except Fenced:
            # The conductor has already moved on and written the `end` of this stream.
            self._logger.info("stream_fenced", trace=stream.stream_id, session=stream.session_id)
        except (UpstreamError, HistoryUnavailable, ImageNotFound) as error:
            produced.problem = Problem(error.code, str(error))
            if stream.ticket is not None and isinstance(error, UpstreamBusy):
                stream.ticket.pause(error.retry_after)
        except Exception as error:
            produced.problem = INTERNAL
            self._logger.error(
                "stream_crashed", trace=stream.stream_id, session=stream.session_id, exc_info=error
            )
        finally:
            # A signal can no longer change the outcome, so it must not interrupt the clean-up either.
            produced.settling = True
            stream.limit_cleanup()
            self._patience.stop()
            if stream.generation is not None:
                # Before any await, so that no cancellation can prevent it.
                stream.generation.abort()
                await _see_closed(stream, stream.generation, self._bounds, self._logger)
            if stream.ticket is not None and produced.closed:
                stream.ticket.leave()  # else it has the slot until its `end`

    async def _stand_in_line(self, ticket: Ticket) -> None:
        """Return once the model server has a slot for this stream. The log says the place whenever it changes."""
        ticket.enter()
        if not ticket.waits:
            return
        stream, began = self._stream, self._loop.time()
        self._patience.restart(
            self._bounds.line_timeout, lambda seconds: self._expire(_still_in_line(seconds))
        )
        fields = {"trace": stream.stream_id, "session": stream.session_id}
        self._logger.info("stream_in_line", **fields, place=ticket.place)
        while place := ticket.place:
            note = StatusChange(stream.stream_id, stream.status, in_line(place), place)
            await self._log.append(stream.fence, note)
            await ticket.moved(place)
        self._logger.info("stream_served", **fields, waited_ms=round((self._loop.time() - began) * 1000))
        await self._log.append(stream.fence, StatusChange(stream.stream_id, stream.status))
        self._patience.restart(
            self._bounds.first_token_timeout, lambda seconds: self._expire(_silent_from_the_start(seconds))
        )

    async def _read(self, generation: Generation) -> None:
        stream, produced = self._stream, self._stream.produced
        while pieces := await generation.read():
            if stream.cancelled:
                return
            for piece in pieces:
                if isinstance(piece, Note):
                    note = StatusChange(stream.stream_id, stream.status, _line(piece))
                    await self._log.append(stream.fence, note)
                    continue
                if produced.ttft is None:
                    await self._begin(generation)
                self._append(piece)
            self._check_size()
        produced.finish_reason = _reason(self._view, generation.finish_reason or "stop")
        produced.usage = generation.usage

    async def _begin(self, generation: Generation) -> None:
        """The first text has arrived."""
        silence, most = self._bounds.token_timeout, self._bounds.answer_timeout
        self._patience.restart(
            silence,
            lambda seconds: self._expire(_too_slow(most) if seconds == most else _fell_silent(seconds)),
            most=most,
        )
        await _first_token(self._stream, self._log, self._logger)
        # Not earlier: a stream that only waits for its model then costs the history nothing.
        self._history.follow(self._stream.stream_id, self._view.text, self._view.reasoning)
        generation.listener = self._listen

    def _listen(self, deltas: Sequence[Delta]) -> None:
        """See `Generation.read`. Hot path: called for every token."""
        if self._stream.cancelled:
            return
        for delta in deltas:
            self._append(delta)
        self._check_size()

    def _append(self, delta: Delta) -> None:
        """Append text to the log. Hot path: called for every token."""
        stream, produced, view = self._stream, self._stream.produced, self._view
        self._patience.feed()
        position = view.tokens if delta.kind == "token" else view.thought_tokens
        self._log.append_text(stream.fence, delta.kind, stream.stream_id, position, delta.texts)
        texts = delta.texts
        produced.size += utf8_size(texts[0] if len(texts) == 1 else "".join(texts))
        self._log_tokens(stream, delta, position)

    def _check_size(self) -> None:
        if self._stream.produced.size > self._look_at:
            self._look()

    def _look(self) -> None:
        """Raise `_TooLong` if the answer is. A piece has a byte at least, so their number grows no faster."""
        size, most, view = self._stream.produced.size, self._bounds.max_answer_bytes, self._view
        if size > most or view.tokens + view.thought_tokens > self._bounds.max_answer_tokens:
            raise _TooLong
        self._look_at = min(most, size + LOOK_BYTES)

    def _expire(self, error: UpstreamError) -> None:
        self._stream.signal(Reason.TIMEOUT, Problem(error.code, str(error)))


def _reason(view: AnswerView, reason: str) -> str:
    """Return the finish reason; it is `empty` for an answer that stopped normally but has no text."""
    return EMPTY if reason == "stop" and not view.content.strip() else reason


def _line(note: Note) -> str:
    """Return the note as one line of at most `NOTE_LENGTH` characters."""
    return " ".join(note.text.split())[:NOTE_LENGTH]


async def _first_token(stream: Stream, log: SessionLog, logger: Logger) -> None:
    stream.first_token()
    await log.append(stream.fence, StatusChange(stream.stream_id, Status.STREAMING))
    logger.info(
        "stream_status", trace=stream.stream_id, session=stream.session_id, status=str(Status.STREAMING)
    )


def _token_logger(logger: Logger) -> Callable[[Stream, Delta, int], None]:
    def log_tokens(stream: Stream, delta: Delta, position: int) -> None:
        trace, session = stream.stream_id, stream.session_id
        for number, text in enumerate(delta.texts, start=position):
            logger.debug("stream_token", trace=trace, session=session, text=text, position=number)

    return log_tokens


def _log_nothing(_stream: Stream, _delta: Delta, _position: int) -> None:
    """The default token logger: a log line per token would cost more than the token itself."""


async def _see_closed(stream: Stream, generation: Generation, bounds: Bounds, logger: Logger) -> None:
    """Wait until the upstream connection is closed; only then set `closed`."""
    try:
        await within(bounds.close_timeout, generation.wait_closed())
    except TimeoutError:
        logger.warning("upstream_close_timeout", trace=stream.stream_id, session=stream.session_id)
    except Exception as error:
        # A failed clean-up does not invalidate the answer; `closed` stays false.
        logger.error(
            "upstream_close_failed", trace=stream.stream_id, session=stream.session_id, exc_info=error
        )
    else:
        stream.produced.closed = True


def _silent_from_the_start(seconds: float) -> UpstreamError:
    return FirstTokenTimeout(
        f"The model didn't start answering within {seconds:g} s. Try again or choose another model."
    )


def _still_in_line(seconds: float) -> UpstreamError:
    return LineTimeout(
        f"The model server had no time for this message within {seconds:g} s. "
        "Try again later or choose a model of another server."
    )


def _fell_silent(seconds: float) -> UpstreamError:
    return TokenTimeout(f"The model stopped responding for {seconds:g} s. The partial answer was kept.")


def _too_slow(seconds: float) -> UpstreamError:
    return TokenTimeout(f"The answer took longer than {seconds / 3600:g} h. The partial answer was kept.")
