"""One small tree of errors by cause. They are translated to HTTP and to `end` events once, at the boundary."""

from __future__ import annotations


class TailraceError(Exception):
    """Base of all errors that Tailrace raises on purpose. `code` is stable; the message is for a person."""

    code = "internal"


class IllegalTransition(TailraceError):
    """A programming error: the table in `states` forbids the step."""


class Fenced(TailraceError):
    """An append came from a stream whose turn is over; the session log refused it."""

    code = "fenced"


# What a caller asked for cannot be done.


class Refused(TailraceError):
    """A request that the heart turns down. Nothing was changed."""


class SessionBusy(Refused):
    """`if_active: reject`, and a stream is running."""

    code = "session_busy"


class QueueFull(Refused):
    """`if_active: enqueue`, and the session's line is at its bound."""

    code = "queue_full"


class TooManyStreams(Refused):
    """The server runs as many streams as its setting allows."""

    code = "too_many_streams"


class TooManyWaiting(Refused):
    """One owner waits for as many sessions that do not exist yet as the server allows."""

    code = "too_many_waiting"


class Draining(Refused):
    """The server is shutting down and takes no new prompts."""

    code = "draining"


class SessionNotFound(Refused):
    """No such session, or it belongs to somebody else: the two are not told apart."""

    code = "session_not_found"

    def __init__(self, message: str = "This chat doesn't exist or was deleted.") -> None:
        super().__init__(message)


class SessionExists(Refused):
    """A session of that id is there already."""

    code = "session_exists"


class NothingToRestore(Refused):
    """No session of that id was deleted a moment ago."""

    code = "nothing_to_restore"


class ArchiveTooLarge(Refused):
    """The session is larger than whoever asked for all of it can hold."""

    code = "session_too_large"


class StreamNotFound(Refused):
    """No such stream, or it belongs to somebody else."""

    code = "stream_not_found"

    def __init__(self, message: str = "This answer doesn't exist or was deleted.") -> None:
        super().__init__(message)


class HistoryUnavailable(Refused):
    """The history cannot keep anything now: its database is down, locked or full."""

    code = "history_unavailable"


class MessageNotFound(Refused):
    """No such message in the session."""

    code = "message_not_found"


class ImageNotFound(Refused):
    """No such image, or it belongs to somebody else."""

    code = "image_not_found"

    def __init__(self, message: str = "This image doesn't exist or was deleted.") -> None:
        super().__init__(message)


class ModelWithoutVision(Refused):
    """A prompt has images, and its model is known not to see any."""

    code = "model_without_vision"


class NotAnAnswer(Refused):
    """A message is not what it has to be for this: an answer."""

    code = "not_an_answer"


class CannotContinue(Refused):
    """The answer is not one to go on with, or its model's server cannot."""

    code = "cannot_continue"


class AnswerMoved(Refused):
    """The answer to be continued is not as it was: another stream goes on with it."""

    code = "answer_moved"


class KeyReused(Refused):
    """An idempotency key came back with another request."""

    code = "idempotency_key_reused"


class UnknownModel(Refused):
    """No reachable backend has that model. `known` has a few names that would work, the nearest first."""

    code = "unknown_model"

    def __init__(self, message: str, known: list[str]) -> None:
        super().__init__(message)
        self.known = known


class NoModels(Refused):
    """Not one backend answers with a model."""

    code = "no_models"


# What a model server did wrong. The message is a sentence that a user understands.


class UpstreamError(TailraceError):
    """The model server failed; the stream ends `failed` with this code."""

    code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No connection: refused, no such host, or cut off before an answer began."""

    code = "upstream_unreachable"


class UpstreamRejected(UpstreamError):
    """The model server answered with an error, as a status or in-band after a 200."""

    code = "upstream_rejected"


class UpstreamUnauthorized(UpstreamRejected):
    """The model server wants other credentials (401 or 403)."""

    code = "upstream_unauthorized"


class ModelMissing(UpstreamRejected):
    """The model server does not have the model (404)."""

    code = "model_missing"


class UpstreamBusy(UpstreamRejected):
    """The model server takes no request now: a rate limit, or too much load (429, 503)."""

    code = "upstream_busy"


class ContextExceeded(UpstreamRejected):
    """The prompt does not fit the model's context."""

    code = "context_exceeded"


class UpstreamTruncated(UpstreamError):
    """The answer stopped without the end mark (`done: true`, `[DONE]`), or the connection was reset."""

    code = "upstream_truncated"


class UpstreamGarbled(UpstreamError):
    """The model server sent something that is not its protocol."""

    code = "upstream_garbled"


class FirstTokenTimeout(UpstreamError):
    """Nothing came from the model within the first-token timeout."""

    code = "first_token_timeout"


class TokenTimeout(UpstreamError):
    """The model fell silent in the middle of its answer."""

    code = "token_timeout"
