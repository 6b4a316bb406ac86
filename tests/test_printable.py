"""What a terminal obeys, or cannot show, is escaped."""

from __future__ import annotations

import pytest

from app.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, ünï and 漢字", "plain words, ünï and 漢字"),
        ("\x1b[31mred\x00\n", r"\x1b[31mred\x00\n"),
        ("\u202ereversed\xa0", r"\u202ereversed\xa0"),
        ("\ud800", r"\ud800"),
        (r"a\b 'c'", r"a\b 'c'"),
    ],
)
def test_what_is_escaped(text: str, shown: str) -> None:
    """Everything else stays as it is."""
    assert printable(text) == shown
