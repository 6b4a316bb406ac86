"""Texts from elsewhere, fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` with escapes in place of what a terminal obeys, hides, or cannot be sent (Unicode's C and Z)."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
