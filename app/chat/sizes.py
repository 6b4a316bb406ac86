"""How large a text is: limits are in bytes, and a character takes one to four of them."""

from __future__ import annotations


def utf8_size(text: str) -> int:
    """Return how many bytes `text` takes in UTF-8. A lone surrogate counts as three, as what replaces it does."""
    # Most tokens are ASCII, and this is asked for every one.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
