"""The producer of a stream: it reads a generation, appends to the session log, and always closes the upstream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.streams.bounds import Bounds
from app.streams.errors import Fenced, FirstTokenTimeout, HistoryUnavailable, TokenTimeout, UpstreamError
from app.streams.events import Problem, StatusChange
from app.streams.log import SessionLog
from app.streams.patience import Patience
from app.streams.ports import Delta, Generation, Logger, Request
from app.streams.states import Reason, Status
from app.streams.stream import INTERNAL, Stream
from app.streams.waiting import within

EMPTY = "empty"  # the finish reason of an answer without a word
Prepare = Callable[[], Awaitable[Request]]


async def produce(
    stream: Stream, prepare: Prepare, log: SessionLog, *, bounds: Bounds, logger: Logger
) -> None:
    """Generate the answer of `stream` into `log`, until it is complete or the stream is signalled.

    Runs in a task that only `Stream.signal` cancels. What goes wrong is left in `stream.problem`; nothing is raised.
    """
    generation: Generation | None = None
    patience = Patience(
        bounds.first_token_timeout,
        lambda seconds: _expire(stream, _silent_from_the_start(seconds)),
        alive=lambda: generation.heard if generation is not None else 0.0,
        longest=bounds.quiet_timeout,
    )
    log_tokens = _token_logger(logger) if bounds.log_tokens else _log_nothing
    try:
        request = await prepare()
        stream.upstream_closed = False
        stream.generation = generation = stream.backend.generate(request)
        while deltas := await generation.read():
            if stream.cancelled:
                return
            if stream.ttft is None:
                patience.restart(bounds.token_timeout, lambda seconds: _expire(stream, _fell_silent(seconds)))
                await _first_token(stream, log, logger)
            patience.feed()
            for delta in deltas:
                # Append first and remember after: what the log refused was never part of the answer.
                position = stream.tokens if delta.kind == "token" else len(stream.reasoning)
                await log.append_text(stream.fence, delta.kind, stream.stream_id, position, delta.texts)
                stream.remember(delta.kind, delta.texts)
                log_tokens(stream, delta, position)
            if stream.size > bounds.max_answer_bytes:
                stream.finish_reason = "length"
                return
        stream.finish_reason = _reason(stream, generation.finish_reason or "stop")
        stream.usage = generation.usage
    except Fenced:
        # The session went on without this stream, and has written its end already.
        logger.info("stream_fenced", trace=stream.stream_id, session=stream.session_id)
    except (UpstreamError, HistoryUnavailable) as error:
        stream.problem = Problem(error.code, str(error))
    except Exception as error:
        stream.problem = INTERNAL
        logger.error("stream_crashed", trace=stream.stream_id, session=stream.session_id, exc_info=error)
    finally:
        # From here on a signal comes too late to change the outcome, so none may cut the clean-up short.
        stream.settling = True
        stream.limit_cleanup()
        patience.stop()
        if generation is not None:
            # Synchronous: there is no await before it that a cancellation could hit.
            generation.abort()
            await _see_closed(stream, generation, bounds, logger)


def _reason(stream: Stream, reason: str) -> str:
    """Return why the answer ended; one that says nothing, not even why, is `empty`."""
    return EMPTY if reason == "stop" and not stream.content.strip() else reason


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
    """The usual token logger: a line for each token would cost more than the token."""


async def _see_closed(stream: Stream, generation: Generation, bounds: Bounds, logger: Logger) -> None:
    """Wait until the upstream connection is closed, and only then say so."""
    try:
        await within(bounds.close_timeout, generation.wait_closed())
    except TimeoutError:
        logger.warning("upstream_close_timeout", trace=stream.stream_id, session=stream.session_id)
    except Exception as error:
        # The answer stands whatever the clean-up meets; `upstream_closed` stays false.
        logger.error(
            "upstream_close_failed", trace=stream.stream_id, session=stream.session_id, exc_info=error
        )
    else:
        stream.upstream_closed = True


def _expire(stream: Stream, error: UpstreamError) -> None:
    stream.signal(Reason.TIMEOUT, Problem(error.code, str(error)))


def _silent_from_the_start(seconds: float) -> UpstreamError:
    return FirstTokenTimeout(
        f"The model didn't start answering within {seconds:g} s. Try again or choose another model."
    )


def _fell_silent(seconds: float) -> UpstreamError:
    return TokenTimeout(f"The model stopped responding for {seconds:g} s. The partial answer was kept.")
