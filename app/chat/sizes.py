"""The size of a text in bytes. Limits are in bytes, and a character takes one to four of them."""

from __future__ import annotations


def utf8_size(text: str) -> int:
    """Return the size of `text` in UTF-8. A lone surrogate counts as three bytes, like its replacement character."""
    # Called for every token, and most tokens are ASCII.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
