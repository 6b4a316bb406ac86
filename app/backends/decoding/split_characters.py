"""Joins characters that a model server split across pieces."""

from __future__ import annotations

import re

HIGH = ("\ud800", "\udbff")  # range of the first half of a surrogate pair
_ESCAPED = re.compile("[\udc80-\udcff]+")  # invalid UTF-8 bytes, escaped as in PEP 383
_CUT = re.compile("[\udcc2-\udcf4][\udc80-\udcbf]{0,2}$")  # possibly the start of a UTF-8 character


class CharacterJoiner:
    """Repairs texts in order of arrival, holding back a possible half of a character until the other half arrives.

    A server that sends each token separately splits characters that consist of several tokens: between the escapes of
    a surrogate pair (RFC 8259, section 7), or between UTF-8 bytes. A half that stays alone becomes U+FFFD.
    """

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = ""

    def __repr__(self) -> str:
        return f"<CharacterJoiner held={self.held!r}>"

    def mend(self, text: str) -> str:
        """Return the text so far up to the last complete character; it may be empty."""
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
        """Return what was held back: nothing, or U+FFFD for a lone half."""
        held, self.held = self.held, ""
        return _whole(held)


def _paired(text: str) -> str:
    """Join adjacent surrogates to characters; lone ones stay."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _complete(cut: str) -> bool:
    lead = ord(cut[0]) - 0xDC00
    return len(cut) >= (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)


def _whole(text: str) -> str:
    """Decode escaped bytes and replace lone surrogates by U+FFFD."""
    text = _ESCAPED.sub(lambda found: _bytes(found[0]).decode("utf-8", "replace"), text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _bytes(escaped: str) -> bytes:
    return escaped.encode("utf-8", "surrogateescape")
