"""The bounds of the core: how long it waits and how much it holds, in seconds, bytes and counts."""

from __future__ import annotations

import msgspec


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The bound of every wait and the limit of every queue."""

    supersede_timeout: float = 2.0  # s, from a signal to the forced end of the stream
    shutdown_timeout: float = 1.0  # s, the same at shutdown
    close_timeout: float = 0.5  # s, for an upstream connection to close
    first_token_timeout: float = 300.0  # s
    token_timeout: float = 60.0  # s, between two tokens
    quiet_timeout: float = 3600.0  # s that a model server may send keep-alives but no text
    viewer_grace: float | None = 300.0  # s that a stream may run without a viewer; None: no limit
    arrival_grace: float = 30.0  # s, the minimum for the first viewer to connect, even if viewer_grace is 0
    max_streams: int = 1000  # sessions with a running stream, on the whole server
    line_limit: int = 200  # streams that may wait for one model server
    line_timeout: float = 600.0  # s that a stream may wait there
    owner_streams: int | None = None  # sessions of one owner with a running stream; None: no limit
    owner_prompts_per_minute: int | None = None  # of one owner; None: no limit
    queue_limit: int = 8  # streams in one session's queue, for `if_active: enqueue`
    max_answer_bytes: int = 4 * 1024 * 1024  # answer plus reasoning, in UTF-8; the answer is cut off there
    max_answer_tokens: int = 2**18  # pieces of answer and reasoning; the answer is cut off there
    answer_timeout: float = 12 * 3600.0  # s for an answer, from its first token on
    context_tokens: int = 8192  # assumed if a model server does not report the model's context
    log_tokens: bool = False  # write a log line for every token; for debugging only
    log_bytes: int = 4 * 1024 * 1024  # size of one session log
    log_seconds: float = 3600.0  # for which an event is retained in the session log
    owner_resting_bytes: int = 16 * 1024 * 1024  # of an owner's sessions without a stream, together
    resting_bytes: int = 128 * 1024 * 1024  # the same of all owners
