"""The figures under an answer, as each language writes them."""

from __future__ import annotations

from typing import Any

import pytest

from app.web.assets.folders import folder
from app.web.i18n.translations import load
from app.web.page.templates import environment

LANGUAGES = load(folder("translations"))
# Language, tokens, tokens a second, milliseconds, what is said of them. The browser's tests ask its scripts the same.
FIGURES = [
    ("en", 7, 1.4, 5140, "7 tokens · 1.4 tokens/s · 5.1 s"),
    ("de", 7, 1.4, 5140, "7 Token · 1,4 Token/s · 5,1 s"),
    ("en", 1, None, 49, "1 token · 0.0 s"),
    ("de", 1, 20.0, 50, "1 Token · 20 Token/s · 0,1 s"),
    ("en", 3, 0.4, 2000, "3 tokens · 0.4 tokens/s · 2.0 s"),
    ("en", 3, 9.9, 2000, "3 tokens · 9.9 tokens/s · 2.0 s"),
    ("en", 5, 12.5, 250, "5 tokens · 13 tokens/s · 0.3 s"),
    ("de", 5, 13.4, 350, "5 Token · 13 Token/s · 0,4 s"),
    ("en", 999, 2224.9, 449, "999 tokens · 2,225 tokens/s · 0.4 s"),
    ("en", 1234, 1.0, 1_234_450, "1,234 tokens · 1.0 tokens/s · 1,234.5 s"),
    ("de", 1234, 1.0, 1_234_450, "1.234 Token · 1,0 Token/s · 1.234,5 s"),
    ("en", 1_234_567, 2_469_134.0, 500, "1,234,567 tokens · 2,469,134 tokens/s · 0.5 s"),
    ("de", 1_234_567, 2_469_134.0, 500, "1.234.567 Token · 2.469.134 Token/s · 0,5 s"),
]
# Language, how long a model thought in ms, and the line over what it thought.
THOUGHTS = [
    ("en", None, "Reasoning"),
    ("en", 0, "Thought for 1 s"),
    ("en", 1499, "Thought for 1 s"),
    ("en", 1500, "Thought for 2 s"),
    ("de", 5000, "5 s nachgedacht"),
    ("en", 59_499, "Thought for 59 s"),
    ("en", 59_500, "Thought for 1 min 0 s"),
    ("de", 125_000, "2 min 5 s nachgedacht"),
]


def macros(code: str) -> Any:
    """Return the macros of a message in a language."""
    template = environment().get_template("partials/answer.html")
    return template.make_module({"language": LANGUAGES[code]})


@pytest.mark.parametrize(("code", "count", "rate", "duration_ms", "said"), FIGURES)
def test_figures_are_written_as_the_language_does(
    code: str, count: int, rate: float | None, duration_ms: int, said: str
) -> None:
    """Points, commas and plural forms; halves are rounded up, and a slow rate is not rounded to nothing."""
    message = {"completion_tokens": count, "tokens_per_second": rate, "duration_ms": duration_ms}
    assert macros(code).figures(message).strip() == said


@pytest.mark.parametrize(("code", "ms", "said"), THOUGHTS)
def test_a_thought_is_as_long_as_it_was(code: str, ms: int | None, said: str) -> None:
    """In whole seconds, and minutes."""
    assert macros(code).thought({"thought_ms": ms}).strip() == said
