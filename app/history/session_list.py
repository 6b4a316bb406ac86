"""Search words and paging of the session list, shared by all histories."""

from __future__ import annotations

from app.chat.records import SessionInfo
from app.chat.searches import MOST_CHARACTERS, MOST_WORDS

SEARCH_SECONDS = 1.0  # that a search may take, not counting the wait for its turn


def words_of(query: str) -> list[str]:
    """Return the words of a search. A session matches if each word occurs in its title or in any of its messages."""
    return query[:MOST_CHARACTERS].split(maxsplit=MOST_WORDS)[:MOST_WORDS]


def place_of(info: SessionInfo) -> str:
    """Return the paging cursor of a session. Cursors sort in the order of the list."""
    return f"{info.updated_at} {info.session_id}"
