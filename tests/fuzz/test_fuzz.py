"""The search in short, in every run of the suite; `make fuzz` searches on."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import target
from tests.markdown.corpus.hostile import BLANKS, OPENERS

MARKS = [
    *"[]()<>*_`~|$#&!^\\",
    *(
        "[a]:",
        "> ",
        "- ",
        "1. ",
        "**",
        "![",
        "](",
        "<http://a",
        "&amp;",
        "|-",
        "$$",
        "\\[",
        "[^a]",
        "[^a]:",
        "<sub>",
    ),
    *(
        "<details>",
        "<summary>",
        "</details>",
        "http://a.b",
        "a@b.c",
        "===",
        "    ",
        "```\n",
        "\n\n",
        "- [ ] ",
        "<br>",
    ),
    *("|a|b|\n|-|-|\n", '[a]: b "', "中", "\\frac{", "_{", "\\left(", "x", "a ", "\u0301\u0316"),
]
PIECES = st.lists(st.sampled_from(MARKS + OPENERS + BLANKS) | st.text(max_size=4), max_size=5).map("".join)
SETTINGS = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def no_collections() -> Iterator[None]:
    """How long a collection of garbage takes depends on what all the other tests have left."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collections")
@SETTINGS
@given(PIECES, PIECES.filter(bool), PIECES)
def test_markdown_takes_a_bounded_time(before: str, piece: str, after: str) -> None:
    """Whatever is repeated in it; and no text trips up the grammar."""
    target.markdown(target.repeated(before, piece, after))


def test_a_failure_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that trips up a rule is shown as it is; here it is a mistake."""
    monkeypatch.setattr("app.markdown.html.rendering.sanitize", lambda _: 1 / 0)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        target.markdown("a")
