"""How many tokens, how fast, how long a model thought."""

from __future__ import annotations

import pytest

from app.chat.figures import completion_tokens, thought_ms, tokens_per_second
from app.chat.ports import Usage


@pytest.mark.parametrize(
    ("tokens", "reasoning", "usage", "count"),
    [
        pytest.param(3, 0, None, 3, id="pieces of the answer"),
        pytest.param(3, 500, None, 503, id="and of the reasoning"),
        pytest.param(3, 500, Usage(20, 612), 612, id="as the server counted"),
        pytest.param(3, 500, Usage(20, 480), 480, id="also if it sent some tokens in two pieces"),
        pytest.param(3, 500, Usage(20, 3), 503, id="a server that counted the answer alone"),
        pytest.param(3, 500, Usage(20, 0), 503, id="a server that did not count them"),
        pytest.param(0, 0, None, 0, id="nothing"),
    ],
)
def test_reasoning_is_generated_too(tokens: int, reasoning: int, usage: Usage | None, count: int) -> None:
    """What the model server counted is better than what came."""
    assert completion_tokens(tokens, reasoning, usage) == count


@pytest.mark.parametrize(
    ("count", "duration_ms", "ttft_ms", "rate"),
    [
        pytest.param(503, 6000, 1000, 100.6, id="the wait for the first piece is no generating"),
        pytest.param(3, 6000, 5000, 3.0, id="a short answer after a long wait"),
        pytest.param(1, 30_000, 10_000, 0.1, id="a slow model has a rate as well"),
        pytest.param(100, 5000, None, None, id="nothing came"),
        pytest.param(100, 5000, 5000, None, id="all in one piece"),
        pytest.param(100, 5010, 5000, None, id="as good as in one piece"),
        pytest.param(0, 5000, 1000, None, id="nothing counted"),
    ],
)
def test_a_rate_is_of_the_time_in_which_tokens_came(
    count: int, duration_ms: int, ttft_ms: int | None, rate: float | None
) -> None:
    """From the first piece to the end."""
    assert tokens_per_second(count, duration_ms, ttft_ms) == rate


@pytest.mark.parametrize(
    ("reasoned_at", "answered_at", "now", "thought"),
    [
        pytest.param(None, None, 9.0, None, id="no thought"),
        pytest.param(None, 3.0, 9.0, None, id="an answer without a thought"),
        pytest.param(1.5, 6.5, 9.0, 5000, id="until the first word"),
        pytest.param(1.5, None, 9.0, 7500, id="until now"),
        pytest.param(6.0, 3.0, 9.0, None, id="a thought after the answer"),
    ],
)
def test_a_thought_lasts_until_the_first_word(
    reasoned_at: float | None, answered_at: float | None, now: float, thought: int | None
) -> None:
    assert thought_ms(reasoned_at, answered_at, now) == thought
