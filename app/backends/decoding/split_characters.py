"""Joins characters that a model server cut in two."""

from __future__ import annotations

import re

HIGH = ("\ud800", "\udbff")  # the first half of a surrogate pair
_ESCAPED = re.compile("[\udc80-\udcff]+")  # bytes that are no UTF-8, as PEP 383 writes them
_CUT = re.compile("[\udcc2-\udcf4][\udc80-\udcbf]{0,2}$")  # what may be the beginning of a character in UTF-8


class CharacterJoiner:
    """Mends texts in the order of their arrival, and holds what may be half of a character until the other half comes.

    A server that sends each token as it comes cuts characters that are made of several tokens: between the two escapes
    of a surrogate pair (RFC 8259, section 7), or between the bytes of UTF-8. A half that stays alone becomes U+FFFD.
    """

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = ""

    def __repr__(self) -> str:
        return f"<Mending held={self.held!r}>"

    def mend(self, text: str) -> str:
        """Return what is whole of the text so far; it may be empty."""
        text = self.held + text
        self.held = ""
        if text.isascii():
            return text
        text = _paired(text)
        if text and HIGH[0] <= text[-1] <= HIGH[1]:
            text, self.held = text[:-1], text[-1]
        elif (cut := _CUT.search(text[-3:])) and not _complete(cut[0]):
            text, self.held = text[: -len(cut[0])], cut[0]
        return _whole(text)

    def flush(self) -> str:
        """Return what is left: nothing, or a half that stayed alone."""
        held, self.held = self.held, ""
        return _whole(held)


def _paired(text: str) -> str:
    """Join surrogates that stand beside each other; those that are alone stay."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _complete(cut: str) -> bool:
    lead = ord(cut[0]) - 0xDC00
    return len(cut) >= (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)


def _whole(text: str) -> str:
    """Return the text without lone surrogates."""
    text = _ESCAPED.sub(lambda found: _bytes(found[0]).decode("utf-8", "replace"), text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _bytes(escaped: str) -> bytes:
    return escaped.encode("utf-8", "surrogateescape")
