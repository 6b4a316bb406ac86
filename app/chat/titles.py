"""What the title of a session may be, and what it is at first."""

from __future__ import annotations

from app.chat.storable import storable

TITLE_LENGTH = 200  # characters
DERIVED_TITLE_LENGTH = 80  # characters at most of a title that is derived from the first prompt


def one_line(title: str) -> str:
    """Return a title as it is kept: storable, with its whitespace collapsed."""
    return " ".join(storable(title).split())


def title_of(prompt: str) -> str:
    """Return the title of a session: the beginning of its first prompt on one line, with an ellipsis if it is cut."""
    # Each word has at least one character.
    words = prompt.split(maxsplit=DERIVED_TITLE_LENGTH + 1)[: DERIVED_TITLE_LENGTH + 1]
    line = " ".join(words)
    if len(line) <= DERIVED_TITLE_LENGTH:
        return line
    return line[: DERIVED_TITLE_LENGTH - 1].rstrip() + "…"
