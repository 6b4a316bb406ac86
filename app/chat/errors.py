"""One small tree of errors, by cause. They are translated to HTTP and to `end` events in one place, at the boundary."""

from __future__ import annotations


class TailraceError(Exception):
    """Base of all errors that Tailrace raises on purpose. `code` is stable; the message is for the user."""

    code = "internal"


class IllegalTransition(TailraceError):
    """A programming error: the table in `states` forbids the transition."""


class Fenced(TailraceError):
    """The session log refused an append from a stream that is over."""

    code = "fenced"


# Refusals of a caller's request.


class Refused(TailraceError):
    """The request is refused, and nothing was changed."""


class SessionBusy(Refused):
    """The session has a running answer (`if_active: reject`), is being deleted, or could not be stopped in time."""

    code = "session_busy"


class QueueFull(Refused):
    """The session's queue is at its limit."""

    code = "queue_full"


class TooManyStreams(Refused):
    """The server is at its limit, the setting `max_streams`."""

    code = "too_many_streams"


class TooManyWaiting(Refused):
    """The owner is at the limit of event streams that wait for sessions that do not exist yet."""

    code = "too_many_waiting"


class Draining(Refused):
    """The server is shutting down and accepts no new prompts."""

    code = "draining"


class SessionNotFound(Refused):
    """The session does not exist or has another owner; callers cannot tell which."""

    code = "session_not_found"

    def __init__(self, message: str = "This chat doesn't exist or was deleted.") -> None:
        super().__init__(message)


class SessionExists(Refused):
    """A session with that id already exists."""

    code = "session_exists"


class NothingToRestore(Refused):
    """No session with that id was deleted recently enough to be restored."""

    code = "nothing_to_restore"


class ArchiveTooLarge(Refused):
    """The session is larger than the limit that the caller gave."""

    code = "session_too_large"


class StreamNotFound(Refused):
    """The stream does not exist or has another owner."""

    code = "stream_not_found"

    def __init__(self, message: str = "This answer doesn't exist or was deleted.") -> None:
        super().__init__(message)


class HistoryUnavailable(Refused):
    """The history cannot store anything at the moment: its database is down, locked or full."""

    code = "history_unavailable"


class MessageNotFound(Refused):
    """The session has no such message."""

    code = "message_not_found"


class ImageNotFound(Refused):
    """The image does not exist or has another owner."""

    code = "image_not_found"

    def __init__(self, message: str = "This image doesn't exist or was deleted.") -> None:
        super().__init__(message)


class ModelWithoutVision(Refused):
    """The prompt has images, but the model is known not to support them."""

    code = "model_without_vision"


class NotAnAnswer(Refused):
    """The request needs the id of an answer, and this message is not an answer."""

    code = "not_an_answer"


class CannotContinue(Refused):
    """The answer cannot be continued, or its model server does not support that."""

    code = "cannot_continue"


class AnswerMoved(Refused):
    """Another stream is already continuing the answer."""

    code = "answer_moved"


class KeyReused(Refused):
    """The idempotency key was already used for a different request."""

    code = "idempotency_key_reused"


class UnknownModel(Refused):
    """No reachable backend has that model. `known` has a few names that would work, closest match first."""

    code = "unknown_model"

    def __init__(self, message: str, known: list[str]) -> None:
        super().__init__(message)
        self.known = known


class NoModels(Refused):
    """No backend has any model at the moment."""

    code = "no_models"


# Failures of a model server. The message is a sentence for the user.


class UpstreamError(TailraceError):
    """The model server failed; the stream ends `failed` with this code."""

    code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No connection: refused, unknown host, or lost before the response began."""

    code = "upstream_unreachable"


class UpstreamRejected(UpstreamError):
    """The model server responded with an error, as a status or in-band after a 200."""

    code = "upstream_rejected"


class UpstreamUnauthorized(UpstreamRejected):
    """The model server rejected the credentials (401 or 403)."""

    code = "upstream_unauthorized"


class ModelMissing(UpstreamRejected):
    """The model server does not have the model (404)."""

    code = "model_missing"


class UpstreamBusy(UpstreamRejected):
    """The model server accepts no request at the moment: rate limit or overload (429, 503)."""

    code = "upstream_busy"


class ContextExceeded(UpstreamRejected):
    """The prompt does not fit the model's context."""

    code = "context_exceeded"


class UpstreamTruncated(UpstreamError):
    """The answer ended without the end mark (`done: true`, `[DONE]`), or the connection was reset."""

    code = "upstream_truncated"


class UpstreamGarbled(UpstreamError):
    """The model server violated its protocol."""

    code = "upstream_garbled"


class FirstTokenTimeout(UpstreamError):
    """The model sent nothing within the first-token timeout."""

    code = "first_token_timeout"


class TokenTimeout(UpstreamError):
    """The model stopped sending in the middle of its answer."""

    code = "token_timeout"
