"""The forms in which a secret may come back: as it is, and as common encodings write it."""

from __future__ import annotations

import base64
import string
from collections.abc import Iterator
from html import escape
from urllib.parse import quote, quote_plus

_LETTERS = (string.ascii_letters + string.digits).encode()
_LOWER = bytes(range(256)).lower()
_OTHERS = bytes(set(range(256)) - set(_LETTERS))
SHORTEST_CORE = 8  # characters of Base64 that say enough about a secret


def bare(text: str) -> str:
    """Return the ASCII letters and digits of a text, in lower case."""
    return text.encode("ascii", "ignore").translate(_LOWER, _OTHERS).decode()


def is_letter(char: str) -> bool:
    """Return whether `bare` keeps a character."""
    return char.isascii() and char.isalnum()


def forms(secret: str) -> Iterator[str]:
    """Yield the secret, and how URLs, HTML, JSON, Base64 and hexadecimal write it."""
    encoded = quote(secret, safe="")
    yield from (secret, encoded, quote(encoded, safe=""), quote_plus(secret), quote(secret), escape(secret))
    yield from (secret.encode("unicode_escape").decode(), secret.replace("\\", "\\\\").replace('"', '\\"'))
    yield "".join(char if is_letter(char) else f"\\u{ord(char):04x}" for char in secret)
    yield from (core for core in _base64(secret.encode()) if len(core) >= SHORTEST_CORE)
    # With any characters between: `73 6b`, `%73%6b`, `\x73\x6b`, `\u0073\u006b`, `&#x73;&#x6b;`, `&#115;&#107;`.
    points = [ord(char) for char in secret]
    for form in ("{:02x}", "x{:02x}", "u{:04x}", "{:d}"):
        yield "".join(form.format(point) for point in points)


def _base64(data: bytes) -> Iterator[str]:
    """Yield the characters of Base64 (RFC 4648) that depend on `data` alone, wherever it begins in a group of three."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        begin = (0, 2, 3)[before]
        end = len(text) - (1 if (before + len(data)) % 3 else 0)
        yield text[begin:end]
        yield text[begin:end].translate(str.maketrans("+/", "-_"))
