"""Answers as parts of an export."""

from __future__ import annotations

import pytest

from app.markdown.outline import as_part
from tests.markdown.corpus import ANSWERS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# a\n## b\n##### c\n###### d", "### a\n#### b\n##### c\n###### d"),
        ("### a\n# b\n### c\n##### d\n## e", "### a\n### b\n### c\n#### d\n### e"),
        ("   # a #\n#\n#b\n\\# c\n    # d", "   ### a #\n###\n#b\n\\# c\n    # d"),
        ("```sh\n# a\n```\n# b", "```sh\n# a\n```\n### b"),
        ("~~~\n# a\n```\n# b\n~~~\n# c", "~~~\n# a\n```\n# b\n~~~\n### c"),
        ("```md\n# a\n```py\n# b\n```\n# c\n```\n# d", "```md\n# a\n```py\n# b\n```\n# c\n```\n### d"),
        ("```py\nx", "```py\nx\n```"),
        ("````md\n```py\nx", "````md\n```py\nx\n````"),
        ("```md\n```py\nx", "```md\n```py\nx\n```\n```"),
        ("# a\r\nb", "### a\r\nb"),
        ("", ""),
    ],
)
def test_headings_are_lower_and_listings_closed(text: str, expected: str) -> None:
    """As on the page. What is in a listing stays as it is."""
    assert as_part(text) == expected


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS.keys())
def test_nothing_else_changes(text: str) -> None:
    """All that is not a heading is as it was written."""
    before, after = text.splitlines(), as_part(text).splitlines()
    assert [line.lstrip("#") for line in after[: len(before)]] == [line.lstrip("#") for line in before]
