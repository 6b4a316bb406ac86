"""Cursors as clients keep them."""

from __future__ import annotations

import pytest

from app.log.cursors import Cursor


@pytest.mark.parametrize(
    "text", ["", "7", "7-", "-3", "7-3-1", "a-b", " 7-3", "7-3\n", "\u0667-\u0663", "9" * 40 + "-1"]
)
def test_what_is_no_cursor_is_not_taken_for_one(text: str) -> None:
    """Only `<epoch>-<seq>` in plain digits is a cursor."""
    assert Cursor.parse(text) is None


def test_a_cursor_reads_as_it_is_written() -> None:
    """Writing and parsing are inverse."""
    assert Cursor.parse(str(Cursor(1795397148648, 12))) == Cursor(1795397148648, 12)
