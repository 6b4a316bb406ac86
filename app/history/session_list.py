"""How a list of sessions is titled, searched and paged, alike in every history."""

from __future__ import annotations

from datetime import UTC, datetime

from app.chat.records import SessionInfo

TITLE_LENGTH = 80  # characters of the first prompt that name a session
MOST_WORDS = 8  # of a search; each may cost a look at every message
MOST_CHARACTERS = 2_000  # of a search; SQLite refuses patterns of more than 50,000 bytes


def title_of(prompt: str) -> str:
    """Return the title of a session that begins with this prompt: one line of its first words."""
    words = prompt.split(maxsplit=TITLE_LENGTH)[:TITLE_LENGTH]  # these are long enough
    return " ".join(words)[:TITLE_LENGTH]


def words_of(query: str) -> list[str]:
    """Return what a session has to hold, each in its title or in any of its messages, to be found by `query`."""
    return query[:MOST_CHARACTERS].split(maxsplit=MOST_WORDS)[:MOST_WORDS]


def place_of(info: SessionInfo) -> str:
    """Return the place of a session in the list, as text that sorts as the list does."""
    return f"{info.updated_at} {info.session_id}"


def utc_now() -> str:
    """Return the time as RFC 3339, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
