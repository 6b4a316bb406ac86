"""The producer of a stream: reads a generation, appends it to the session log, and always closes the upstream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.chat.contents import Problem
from app.chat.errors import Fenced, FirstTokenTimeout, HistoryUnavailable, TokenTimeout, UpstreamError
from app.chat.ports import Delta, Generation, Logger, Note, Request
from app.chat.sizes import utf8_size
from app.chat.states import Reason, Status
from app.log.answer_view import AnswerView
from app.log.entries import StatusChange
from app.log.session_log import SessionLog
from app.streams.bounds import Bounds
from app.streams.stream import INTERNAL, Stream
from app.tasks.idle_timer import IdleTimer
from app.tasks.timeouts import within

EMPTY = "empty"  # the finish reason of an answer without text
NOTE_LENGTH = 200  # characters
Prepare = Callable[[], Awaitable[Request]]


class Producer:
    """Generates the answer of one stream into a log. `view` is the log's view of that answer."""

    def __init__(
        self, stream: Stream, view: AnswerView, log: SessionLog, *, bounds: Bounds, logger: Logger
    ) -> None:
        self._stream = stream
        self._view = view
        self._log = log
        self._bounds = bounds
        self._logger = logger
        self._log_tokens = _token_logger(logger) if bounds.log_tokens else _log_nothing

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
            request = await prepare()
            produced.closed = False
            stream.generation = stream.backend.generate(request)
            await self._read(stream.generation)
        except Fenced:
            # The conductor has already moved on and written the `end` of this stream.
            self._logger.info("stream_fenced", trace=stream.stream_id, session=stream.session_id)
        except (UpstreamError, HistoryUnavailable) as error:
            produced.problem = Problem(error.code, str(error))
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

    async def _read(self, generation: Generation) -> None:
        stream, produced = self._stream, self._stream.produced
        while pieces := await generation.read():
            if stream.cancelled:
                return
            for piece in pieces:
                if isinstance(piece, Note):
                    note = StatusChange(stream.stream_id, stream.status, _line(piece))
                    await self._log.append(stream.fence, note)
                else:
                    await self._append(piece)
            if produced.size > self._bounds.max_answer_bytes:
                produced.finish_reason = "length"
                return
        produced.finish_reason = _reason(self._view, generation.finish_reason or "stop")
        produced.usage = generation.usage

    async def _append(self, delta: Delta) -> None:
        """Append text to the log. Hot path: called for every token."""
        stream, produced, view = self._stream, self._stream.produced, self._view
        if produced.ttft is None:
            silence = self._bounds.token_timeout
            self._patience.restart(silence, lambda seconds: self._expire(_fell_silent(seconds)))
            await _first_token(stream, self._log, self._logger)
        self._patience.feed()
        position = view.tokens if delta.kind == "token" else view.thought_tokens
        await self._log.append_text(stream.fence, delta.kind, stream.stream_id, position, delta.texts)
        for text in delta.texts:
            produced.size += utf8_size(text)
        self._log_tokens(stream, delta, position)

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


def _fell_silent(seconds: float) -> UpstreamError:
    return TokenTimeout(f"The model stopped responding for {seconds:g} s. The partial answer was kept.")
