"""One small tree of errors, by cause. They are translated to HTTP and to `end` events in one place, at the boundary."""

from __future__ import annotations

from math import ceil

FULL_RETRY = 60  # s after which a client may ask again whether there is room


class TailraceError(Exception):
    """Base of all errors that Tailrace raises on purpose. `code` is stable; the message is for the user."""

    code = "internal"

    def __init_subclass__(cls, code: str | None = None) -> None:
        cls.code = code or cls.code


class IllegalTransition(TailraceError):
    """A programming error: the table in `states` forbids the transition."""


class Fenced(TailraceError, code="fenced"):
    """The session log refused an append from a stream that is over."""


# Refusals of a caller's request.


class Refused(TailraceError):
    """The request is refused, and nothing was changed."""


class SessionBusy(Refused, code="session_busy"):
    """The session has a running answer (`if_active: reject`), is being deleted, or could not be stopped in time."""


class QueueFull(Refused, code="queue_full"):
    """The session's queue is at its limit."""


class TooManyStreams(Refused, code="too_many_streams"):
    """The server is at its limit, the setting `max_streams`."""


class Limited(Refused):
    """A limit is reached. After `retry_after` seconds the same request may succeed; at least 1."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = max(1, ceil(retry_after))


class OwnerStreams(Limited, code="owner_streams"):
    """The owner is at the limit of running streams, the setting `owner_streams`."""


class OwnerEventStreams(Limited, code="owner_event_streams"):
    """The owner is at the limit of open event streams, the setting `owner_event_streams`."""


class OwnerRequests(Limited, code="owner_requests"):
    """Too many requests of the owner wait for their turn, or this one did for too long."""


class OwnerUnread(OwnerRequests, code="owner_unread"):
    """The owner's clients have left so much unread that no further response is made."""


class OwnerPrompts(Limited, code="owner_prompts"):
    """The owner is at the limit of prompts and imports within a minute, the setting `owner_prompts_per_minute`."""


class LineFull(Limited, code="line_full"):
    """Too many streams wait for that model server already, the setting `line_limit`."""


class StorageFull(Limited):
    """There is no room for more. It does not pass by itself: something must be deleted."""

    def __init__(self, message: str) -> None:
        super().__init__(message, FULL_RETRY)


class OwnerSessions(StorageFull, code="owner_sessions"):
    """The owner is at the limit of sessions, the setting `owner_sessions`."""


class OwnerBytes(StorageFull, code="owner_bytes"):
    """The owner is at the limit of stored bytes, the setting `owner_bytes`."""


class ServerFull(StorageFull, code="server_full"):
    """All owners together are at the limit of stored bytes, the setting `stored_bytes`."""


class TooManyWaiting(Refused, code="too_many_waiting"):
    """The owner is at the limit of event streams that wait for sessions that do not exist yet."""


class Draining(Refused, code="draining"):
    """The server is shutting down and accepts no new prompts."""


class SessionNotFound(Refused, code="session_not_found"):
    """The session does not exist or has another owner; callers cannot tell which."""

    def __init__(self, message: str = "This chat doesn't exist or was deleted.") -> None:
        super().__init__(message)


class SessionExists(Refused, code="session_exists"):
    """A session with that id already exists."""


class NothingToRestore(Refused, code="nothing_to_restore"):
    """No session with that id was deleted recently enough to be restored."""


class StreamNotFound(Refused, code="stream_not_found"):
    """The stream does not exist or has another owner."""

    def __init__(self, message: str = "This answer doesn't exist or was deleted.") -> None:
        super().__init__(message)


class HistoryUnavailable(Refused, code="history_unavailable"):
    """The history cannot store anything at the moment: its database is down or locked."""


class LeaseLost(HistoryUnavailable):
    """Another node of the cluster owns the session. Nothing was written; a repeated request reaches the new owner."""

    def __init__(self) -> None:
        super().__init__("This chat has moved to another server. Try again in a moment.")


class BeingDeleted(HistoryUnavailable):
    """What was in the session before is being deleted still. Nothing was written; its id is free afterwards."""

    def __init__(self) -> None:
        super().__init__("What was in this chat before is still being deleted. Try again in a moment.")


class LogUnavailable(HistoryUnavailable):
    """The log that the nodes of a cluster share does not respond, or refuses to write. Nothing was begun."""


class DiskFull(HistoryUnavailable, code="disk_full"):
    """The history cannot store anything: its disk is full. Nothing that was stored before is lost."""


class SearchTimeout(Refused, code="search_timeout"):
    """The search has found nothing within its time limit."""

    def __init__(self, message: str = "This search took too long. Use fewer or rarer words.") -> None:
        super().__init__(message)


class SearchBusy(Refused, code="search_busy"):
    """The owner has too many searches, or the turn of this one did not come in time."""


class LongChatsBusy(Refused, code="long_chats_busy"):
    """The owner reads too many parts of long chats, or the turn of this one did not come in time."""

    def __init__(self, message: str = "Too many long chats are loading. Try again in a moment.") -> None:
        super().__init__(message)


class MessageNotFound(Refused, code="message_not_found"):
    """The session has no such message."""


class ImageNotFound(Refused, code="image_not_found"):
    """The image does not exist or has another owner."""

    def __init__(self, message: str = "This image doesn't exist or was deleted.") -> None:
        super().__init__(message)


class ModelWithoutVision(Refused, code="model_without_vision"):
    """The prompt has images, but the model is known not to support them."""


class NotAnAnswer(Refused, code="not_an_answer"):
    """The request needs the id of an answer, and this message is not an answer."""


class CannotContinue(Refused, code="cannot_continue"):
    """The answer cannot be continued, or its model server does not support that."""


class AnswerMoved(Refused, code="answer_moved"):
    """Another stream is already continuing the answer."""


class KeyReused(Refused, code="idempotency_key_reused"):
    """The idempotency key was already used for a different request."""


class UnknownModel(Refused, code="unknown_model"):
    """No reachable backend has that model. `known` has a few names that would work, closest match first."""

    def __init__(self, message: str, known: list[str]) -> None:
        super().__init__(message)
        self.known = known


class NoModels(Refused, code="no_models"):
    """No backend has any model at the moment."""


# Failures of a model server. The message is a sentence for the user.


class UpstreamError(TailraceError, code="upstream_error"):
    """The model server failed; the stream ends `failed` with this code."""


class UpstreamUnreachable(UpstreamError, code="upstream_unreachable"):
    """No connection: refused, unknown host, or lost before the response began."""


class UpstreamRejected(UpstreamError, code="upstream_rejected"):
    """The model server responded with an error, as a status or in-band after a 200."""


class UpstreamUnauthorized(UpstreamRejected, code="upstream_unauthorized"):
    """The model server rejected the credentials (401 or 403)."""


class ModelMissing(UpstreamRejected, code="model_missing"):
    """The model server does not have the model (404)."""


class UpstreamBusy(UpstreamRejected, code="upstream_busy"):
    """The model server accepts no request at the moment: rate limit or overload (429, 503)."""

    retry_after: float | None = None  # s after which the server allows a retry, if it says so


class ContextExceeded(UpstreamRejected, code="context_exceeded"):
    """The prompt does not fit the model's context."""


class UpstreamTruncated(UpstreamError, code="upstream_truncated"):
    """The answer ended without the end mark (`done: true`, `[DONE]`), or the connection was reset."""


class UpstreamGarbled(UpstreamError, code="upstream_garbled"):
    """The model server violated its protocol."""


class AgentFailed(UpstreamError, code="agent_failed"):
    """The agent could not answer, and says why."""


class AgentCrashed(UpstreamError, code="agent_crashed"):
    """The agent raised an exception, or yielded what an agent must not yield."""


class FirstTokenTimeout(UpstreamError, code="first_token_timeout"):
    """The model sent nothing within the first-token timeout."""


class LineTimeout(UpstreamError, code="line_timeout"):
    """The stream was in line for a model server for too long, the setting `line_timeout`."""


class TokenTimeout(UpstreamError, code="token_timeout"):
    """The model stopped sending in the middle of its answer."""
