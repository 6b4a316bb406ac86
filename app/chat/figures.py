"""The figures of an answer: token count, token rate and thinking time. One function computes each of them."""

from __future__ import annotations

from app.chat.ports import Usage

LEAST_MS = 20  # of generation; below that no rate is given, since an answer in one piece has none


def completion_tokens(tokens: int, reasoning_tokens: int, usage: Usage | None) -> int:
    """Return the generated tokens including reasoning: the model server's count, else the number of pieces.

    Some servers count the answer alone. Then there are far more pieces of reasoning than tokens.
    """
    if usage is None or usage.completion_tokens == 0:
        return tokens + reasoning_tokens
    counts_all = usage.completion_tokens >= reasoning_tokens / 2
    return usage.completion_tokens if counts_all else usage.completion_tokens + reasoning_tokens


def tokens_per_second(count: int, duration_ms: int, ttft_ms: int | None) -> float | None:
    """Return the rate of `count` tokens, measured from the first token of either kind.

    The wait for the first token is not counted. `None` if the time is unknown or shorter than `LEAST_MS`.
    """
    generating = duration_ms - (duration_ms if ttft_ms is None else ttft_ms)
    if count == 0 or generating < LEAST_MS:
        return None
    return round(count * 1000 / generating, 1)


def thought_ms(reasoned_at: float | None, answered_at: float | None, now: float) -> int | None:
    """Return the thinking time in ms: from the first reasoning to the first text of the answer, or until `now`.

    Times are in seconds. `None` if there was no reasoning before the answer.
    """
    if reasoned_at is None:
        return None
    until = now if answered_at is None else answered_at
    return round((until - reasoned_at) * 1000) if until >= reasoned_at else None
