"""Titles, search words and paging of the session list, shared by all histories."""

from __future__ import annotations

from datetime import UTC, datetime

from app.chat.records import SessionInfo

TITLE_LENGTH = 80  # characters
MOST_WORDS = 8  # of a search; each may scan every message
MOST_CHARACTERS = 2_000  # of a search; SQLite rejects patterns of more than 50,000 bytes


def title_of(prompt: str) -> str:
    """Return the title of a session: the first `TITLE_LENGTH` characters of its first prompt, on one line."""
    words = prompt.split(maxsplit=TITLE_LENGTH)[:TITLE_LENGTH]  # each has at least one character
    return " ".join(words)[:TITLE_LENGTH]


def words_of(query: str) -> list[str]:
    """Return the words of a search. A session matches if each word occurs in its title or in any of its messages."""
    return query[:MOST_CHARACTERS].split(maxsplit=MOST_WORDS)[:MOST_WORDS]


def place_of(info: SessionInfo) -> str:
    """Return the paging cursor of a session. Cursors sort in the order of the list."""
    return f"{info.updated_at} {info.session_id}"


def utc_now() -> str:
    """Return the current time as RFC 3339, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
