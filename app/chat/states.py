"""States and outcomes of a stream, and the table of its state transitions."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from app.chat.errors import IllegalTransition


class Status(StrEnum):
    """The state of a stream."""

    QUEUED = "queued"  # registered; an earlier stream of the session has not ended
    THINKING = "thinking"  # started, but no token yet
    STREAMING = "streaming"  # from the first token on
    ENDED = "ended"  # has exactly one outcome


class Outcome(StrEnum):
    """How a stream ended. The outcomes are kept apart: a stop is not an interruption."""

    COMPLETE = "complete"  # the model finished
    STOPPED = "stopped"  # the user stopped it, or deleted its session
    SUPERSEDED = "superseded"  # a newer prompt in the same session replaced it
    ABANDONED = "abandoned"  # there was no viewer for the grace time
    FAILED = "failed"  # an error, with a code
    INTERRUPTED = "interrupted"  # the server shut down or crashed


class Reason(StrEnum):
    """Why a stream was cancelled. The values appear in the log line ``stream_cancelled``."""

    NEW_STREAM = "registry_new_stream"
    USER_STOP = "user_stop"
    ABANDONED = "abandoned"
    SHUTDOWN = "shutdown"
    SESSION_DELETED = "session_deleted"
    TIMEOUT = "timeout"


# What a new prompt does about the streams of its session that have not ended.
IfActive = Literal["supersede", "reject", "enqueue", "rollback"]

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.THINKING, Status.ENDED}),
    Status.THINKING: frozenset({Status.STREAMING, Status.ENDED}),
    Status.STREAMING: frozenset({Status.ENDED}),
    Status.ENDED: frozenset(),
}

OUTCOMES: dict[Reason, Outcome] = {
    Reason.NEW_STREAM: Outcome.SUPERSEDED,
    Reason.USER_STOP: Outcome.STOPPED,
    Reason.ABANDONED: Outcome.ABANDONED,
    Reason.SHUTDOWN: Outcome.INTERRUPTED,
    Reason.SESSION_DELETED: Outcome.STOPPED,
    Reason.TIMEOUT: Outcome.FAILED,
}


def advance(current: Status, target: Status) -> Status:
    """Return `target` if the table allows it after `current`, else raise `IllegalTransition`."""
    if target not in TRANSITIONS[current]:
        raise IllegalTransition(f"a stream cannot go from {current} to {target}")
    return target
