"""An estimate of how hard a token is to guess. It finds what people type, not what a generator makes."""

from __future__ import annotations

import math
import re
import string

SHORTEST = 16  # characters
BITS = 48.0
ADVICE = "Use a random one, such as the output of `openssl rand -hex 16`"

# Each counts as one character. `correct horse battery staple` is the best-known example of a passphrase.
_KNOWN = re.compile(
    "password|passw0rd|passwort|kennwort|passphrase|secret|s3cret|geheim|token|access|changeme|change-me|letmein|"
    "welcome|qwertyuiop|qwerty|qwertz|asdfgh|zxcvbn|admin|administrator|tailrace|correct|horse|battery|staple|example",
    re.IGNORECASE,
)
_SEPARATORS = "-_. "
_CLASSES = (
    string.ascii_lowercase,
    string.ascii_uppercase,
    string.digits,
    _SEPARATORS,
    "".join(set(string.punctuation) - set(_SEPARATORS)),
)


def is_weak(token: str) -> bool:
    """Return whether a token is too short, or has too little in it that is not a word, a sequence or a repetition."""
    return len(token) < SHORTEST or bits(token) < BITS


def bits(token: str) -> float:
    """Return the estimated entropy of a token: for each surprising character, that of its alphabet."""
    period = (token + token).find(token, 1)  # the length of the shortest text that it repeats
    surprising = _without_runs(_KNOWN.sub("\0", token[:period]))
    alphabet = sum(len(each) for each in _CLASSES if any(letter in each for letter in surprising))
    different = len(set(surprising))
    return min(len(surprising), 4 * different) * math.log2(max(alphabet, 2))


def _without_runs(text: str) -> str:
    """Return the characters that do not go on with a sequence such as `aaa`, `123` or `cba`."""
    kept: list[str] = []
    step: int | None = None
    for place, letter in enumerate(text):
        now = ord(letter) - ord(text[place - 1]) if place else None
        if now is None or now not in (-1, 0, 1) or now != step:
            kept.append(letter)
        step = now
    return "".join(kept)
