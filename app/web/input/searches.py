"""The query and the cursor of a request for the list of sessions."""

from __future__ import annotations

from collections.abc import Mapping

from app.chat.searches import MOST_CHARACTERS, MOST_WORDS, is_too_long
from app.web.problems import ProblemError

LONGEST_CURSOR = 400  # characters; a cursor is a time and an id


def checked_search(query: Mapping[str, str]) -> str:
    """Return `?q=`. Raises a 422 if it has too many characters or words."""
    text = query.get("q", "")
    if is_too_long(text):
        raise ProblemError(
            422,
            "search_too_long",
            f"A search can have up to {MOST_CHARACTERS} characters and {MOST_WORDS} words. Shorten it.",
        )
    return text


def checked_cursor(query: Mapping[str, str]) -> str | None:
    """Return `?after=`. Raises a 422 if it is too long for a cursor."""
    after = query.get("after")
    if after is not None and len(after) > LONGEST_CURSOR:
        raise ProblemError(422, "invalid_query", "after must be `next` of the previous page.")
    return after
