"""How long the query of a search may be."""

from __future__ import annotations

MOST_CHARACTERS = 200
MOST_WORDS = 8  # each may scan every message


def is_too_long(query: str) -> bool:
    """Return whether a query has too many characters or words."""
    return len(query) > MOST_CHARACTERS or len(query.split(maxsplit=MOST_WORDS)) > MOST_WORDS
