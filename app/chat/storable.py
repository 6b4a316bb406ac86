"""What text every database can store."""

from __future__ import annotations


def storable(text: str) -> str:
    """Replace what a database cannot store by U+FFFD: NUL (PostgreSQL rejects it) and lone surrogates."""
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "\ufffd")
