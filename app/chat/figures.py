"""The figures of an answer: how many tokens, how fast, how long its model thought. Each has one function."""

from __future__ import annotations

from app.chat.ports import Usage

LEAST_MS = 20  # of generating: what came in one piece has no rate


def completion_tokens(tokens: int, reasoning_tokens: int, usage: Usage | None) -> int:
    """Return what the model generated, reasoning included, as its server counted; else the pieces that came."""
    if usage is not None and usage.completion_tokens > 0:
        return usage.completion_tokens
    return tokens + reasoning_tokens


def tokens_per_second(count: int, duration_ms: int, ttft_ms: int | None) -> float | None:
    """Return how fast `count` tokens came: from the first of them on, whatever kind it was.

    The wait for it is no generating. `None` if that time is not known, or too short to tell.
    """
    generating = duration_ms - (duration_ms if ttft_ms is None else ttft_ms)
    if count == 0 or generating < LEAST_MS:
        return None
    return round(count * 1000 / generating, 1)


def thought_ms(reasoned_at: float | None, answered_at: float | None, now: float) -> int | None:
    """Return how long the model has thought, in ms: from its first thought to its first word, or until `now`.

    Times are in seconds. `None` if it has not thought before it answered.
    """
    if reasoned_at is None:
        return None
    until = now if answered_at is None else answered_at
    return round((until - reasoned_at) * 1000) if until >= reasoned_at else None
