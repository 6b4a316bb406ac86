"""The figures under an answer, as each language writes them."""

from __future__ import annotations

import pytest

from app.web.assets import folder
from app.web.rendering import environment
from app.web.translations import load

LANGUAGES = load(folder("translations"))
# Language, tokens, milliseconds, and what is said of them. The tests of the browser ask its scripts the same.
FIGURES = [
    ("en", 7, 5140, "7 tokens · 1 token/s · 5.1 s"),
    ("de", 7, 5140, "7 Token · 1 Token/s · 5,1 s"),
    ("en", 1, 49, "1 token · 20 tokens/s · 0.0 s"),
    ("de", 1, 50, "1 Token · 20 Token/s · 0,1 s"),
    ("en", 3, 2000, "3 tokens · 2 tokens/s · 2.0 s"),
    ("en", 5, 250, "5 tokens · 20 tokens/s · 0.3 s"),
    ("de", 5, 350, "5 Token · 14 Token/s · 0,4 s"),
    ("en", 999, 449, "999 tokens · 2,225 tokens/s · 0.4 s"),
    ("en", 1234, 1_234_450, "1,234 tokens · 1 token/s · 1,234.5 s"),
    ("de", 1234, 1_234_450, "1.234 Token · 1 Token/s · 1.234,5 s"),
    ("en", 1_234_567, 500, "1,234,567 tokens · 2,469,134 tokens/s · 0.5 s"),
    ("de", 1_234_567, 500, "1.234.567 Token · 2.469.134 Token/s · 0,5 s"),
]


@pytest.mark.parametrize(("code", "tokens", "duration_ms", "said"), FIGURES)
def test_figures_are_written_as_the_language_does(
    code: str, tokens: int, duration_ms: int, said: str
) -> None:
    """Points, commas and plural forms; halves are rounded up."""
    template = environment().get_template("partials/message.html")
    module = template.make_module({"language": LANGUAGES[code]})
    figures: str = module.figures({"tokens": tokens, "duration_ms": duration_ms})  # type: ignore[attr-defined]
    assert figures.strip() == said
