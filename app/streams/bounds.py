"""The bounds of the heart: how long it waits, how much it holds. Seconds, bytes and counts."""

from __future__ import annotations

import msgspec


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Every wait has a bound and every queue a limit; these are they."""

    supersede_timeout: float = 2.0  # s, from a signal to the forced end of the stream
    shutdown_timeout: float = 1.0  # s, the same when the server ends
    close_timeout: float = 0.5  # s, for an upstream connection to be closed
    first_token_timeout: float = 300.0  # s
    token_timeout: float = 60.0  # s, between two tokens
    quiet_timeout: float = 3600.0  # s that a model server may send signs of life, and no text
    viewer_grace: float | None = 300.0  # s that a stream runs on without a viewer; None: for ever
    arrival_grace: float = 30.0  # s at least for the first viewer to arrive, also when viewer_grace is 0
    max_streams: int = 1000  # in all sessions together
    queue_limit: int = 8  # streams in one session's line, for `if_active: enqueue`
    max_answer_bytes: int = 4 * 1024 * 1024  # of an answer and its reasoning, in UTF-8; it is cut there
    context_tokens: int = 8192  # of a model that does not tell its context
    log_tokens: bool = False  # whether every token is a log line too: for a close look only
    log_bytes: int = 4 * 1024 * 1024  # of one session's log
    log_seconds: float = 3600.0  # that an event stays in it
