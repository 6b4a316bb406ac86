"""The forms in which a secret may come back: as it is, and as common encodings write it."""

from __future__ import annotations

import base64
import math
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from html import escape
from urllib.parse import quote, quote_plus

_LETTERS = (string.ascii_letters + string.digits).encode()
_LOWER = bytes(range(256)).lower()
_OTHERS = bytes(set(range(256)) - set(_LETTERS))
SHORTEST_CORE = 8  # characters of Base64 or Base32 that say enough about a secret
# Where Unicode has characters that stand for one ASCII letter or digit each: superscript, circled, wide, bold.
_BLOCKS = (
    (0xAA, 0xBB),
    (0x2070, 0x2150),
    (0x2460, 0x2500),
    (0xFF10, 0xFF5B),
    (0x1D400, 0x1D800),
    (0x1F100, 0x1F200),
)
_STYLED = {
    point: plain
    for begin, end in _BLOCKS
    for point in range(begin, end)
    if len(plain := unicodedata.normalize("NFKC", chr(point))) == 1 and plain.isascii() and plain.isalnum()
}
_MAY_BE_STYLED = re.compile(f"[{''.join(f'{chr(begin)}-{chr(end - 1)}' for begin, end in _BLOCKS)}]")
# How programs write one character, with any others between: `73 6b`, `%73%6b`, `\x73\x6b`, `0x73, 0x6b`, `&#x0073;`,
# `\u{73}`, `\u0073`, `\U00000073`, `\163`, `0o163`, `&#115;`, `&#0000115;`.
_HEXADECIMAL = ("{:02x}", "x{:02x}", "0x{:02x}", "x{:04x}", "u{:02x}", "u{:04x}", "u{:08x}")
_OCTAL = ("{:o}", "{:03o}", "0o{:o}")
_DECIMAL = ("{:d}", *(f"{{:0{width}d}}" for width in range(3, 8)))
MOST_ZEROS = 5  # before a code
LONGEST_SPELLING = MOST_ZEROS + 7  # letters and digits, of the last of all characters
MOST_NESTED = 3  # looks at a text for secrets that are one within the other; a text with more is not shown


def bare(text: str) -> str:
    """Return the ASCII letters and digits of a text, in lower case, and those that its other characters stand for."""
    if not text.isascii() and _MAY_BE_STYLED.search(text):
        text = text.translate(_STYLED)
    return text.encode("ascii", "ignore").translate(_LOWER, _OTHERS).decode()


def is_letter(char: str) -> bool:
    """Return whether `bare` keeps a character."""
    return _is_plain(char) or ord(char) in _STYLED


def _is_plain(char: str) -> bool:
    return char.isascii() and char.isalnum()


def any_of(patterns: Iterable[str]) -> str:
    """Return a pattern of any of these, the first that matches; of nothing without one."""
    return "|".join(patterns) or "(?!)"


@cache
def spellings(char: str) -> tuple[str, ...]:
    """Return what `bare` makes of a character of a secret, as it is and as HTML codes it: `v`, `&#118;`, `&#x0076;`."""
    points = {ord(char.lower()), ord(char.upper())}
    zeros = ["0" * count for count in range(MOST_ZEROS + 1)]
    decimal = [f"{padding}{point}" for point in points for padding in zeros]
    hexadecimal = [f"x{padding}{point:x}" for point in points for padding in zeros]
    return (bare(char), *decimal, *hexadecimal)


def mixed(secret: str) -> str:
    """Return a pattern of what `bare` makes of a secret of which HTML codes any characters, and others not."""
    return "".join(map(_spelling, secret))


@cache
def _spelling(char: str) -> str:
    lower, upper = ord(char.lower()), ord(char.upper())
    zeros = f"0{{0,{MOST_ZEROS}}}"
    return f"(?:{bare(char)}|{zeros}(?:{lower}|{upper})|x{zeros}(?:{lower:x}|{upper:x}))"


def begins(letters: str, secret: str) -> bool:
    """Return whether letters are the start of what `mixed` matches, or all of it. A pattern cannot tell that."""
    places = {0}  # in the letters, up to which the characters of the secret so far may go
    for char in secret:
        if not places or len(letters) in places:
            break
        rests = [letters[place:] for place in places if len(letters) - place < LONGEST_SPELLING]
        if any(spelling.startswith(rest) for spelling in spellings(char) for rest in rests):
            return True
        places = {
            place + len(spelling)
            for place in places
            for spelling in spellings(char)
            if letters.startswith(spelling, place)
        }
    return len(letters) in places


def forms(secret: str) -> Iterator[str]:
    """Yield the secret, and how URLs, HTML, JSON, Base64, Base32, hexadecimal, octal and decimal codes write it."""
    encoded = quote(secret, safe="")
    yield from (secret, encoded, quote(encoded, safe=""), quote_plus(secret), quote(secret), escape(secret))
    yield from (secret.encode("unicode_escape").decode(), secret.replace("\\", "\\\\").replace('"', '\\"'))
    yield "".join(char if _is_plain(char) else f"\\u{ord(char):04x}" for char in secret)
    yield from _encoded(secret.encode())
    points = [ord(char) for char in secret]
    for form in (*_HEXADECIMAL, *_OCTAL, *_DECIMAL):
        yield "".join(form.format(point) for point in points)


def _encoded(data: bytes) -> Iterator[str]:
    """Yield `data` in Base64, in Base64 of that, and in Base32 (RFC 4648)."""
    once = list(_cores(data, base64.b64encode, 6))
    twice = _cores(base64.b64encode(data), base64.b64encode, 6)
    for core in (*once, *twice, *_cores(data, base64.b32encode, 5)):
        if len(core) >= SHORTEST_CORE:
            yield core
            yield core.translate(str.maketrans("+/", "-_"))


def _cores(data: bytes, encode: Callable[[bytes], bytes], bits: int) -> Iterator[str]:
    """Yield the characters, of `bits` each, that depend on `data` alone, wherever it begins in a group of bytes."""
    for before in range(bits // math.gcd(8, bits)):
        text = encode(bytes(before) + data).decode()
        yield text[-(-8 * before // bits) : 8 * (before + len(data)) // bits]
