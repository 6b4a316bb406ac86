"""An estimate of how hard a token is to guess. It finds what people type, not what a generator makes.

Words, names, dates and walks over the keyboard count as one character each, as in zxcvbn (Wheeler, USENIX Security
2016), and copies of what comes before as none. That library itself keeps 14 MiB of words in memory for a look at one
token, and takes one in some hundred random tokens of 16 characters for less than they are; its most frequent words are
in `common_words.txt`.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

SHORTEST = 16  # characters
BITS = 48.0
ADVICE = "Use a random one, such as the output of `openssl rand -hex 16`"

LONGEST_WORD = 20  # letters
SHORTEST_PASSWORD = 5  # letters of a word that may be written with digits, such as `p4ssw0rd`
# What people put into the token of a server, beside the words of the file.
_OF_SERVERS = (
    "passwort kennwort passphrase geheim token access changeme admin administrator tailrace server prod production "
    "staging dev test org net https www localhost root api auth replace insert placeholder please sommer hallo qwer "
    "asdf zxcv"
)
_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_DATES = re.compile(
    rf"(?=({_YEAR}[-./ ][0-1]?\d[-./ ][0-3]?\d|{_YEAR}{_MONTH}{_DAY}|{_YEAR}"
    rf"|[0-3]?\d[-./ ][0-3]?\d[-./ ](?:{_YEAR}|\d\d)|(?:{_DAY}{_MONTH}|{_MONTH}{_DAY}){_YEAR}))"
)
_PLAIN = str.maketrans("014357@$!", "oiaestasi")  # as in `p4ssw0rd`; each stands for one letter only
_UNSHIFTED = str.maketrans('!@#$%^&*()_+{}:"<>?', "1234567890-=[];',./")
# Keys of the rows below each other: each touches that of the same place and the one before it in the row above.
_KEYBOARDS = (
    ("1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./"),
    ("1234567890ß", "qwertzuiopü", "asdfghjklöä", "yxcvbnm,.-"),
)
SHORTEST_WALK = 5  # keys
# Walks down from key to key, and then along the next ones: `qazwsx`.
_COLUMNS = ("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "6zhn", "1qay")
_DOWN = re.compile(
    "(?:" + "|".join(f"{way[0]}?{way[1:]}|{way[:0:-1]}{way[0]}?" for way in _COLUMNS) + "){2,}"
)

SHORTEST_COPY = 4  # characters
_SEPARATORS = "-_.: "
_JOINED = str.maketrans("", "", _SEPARATORS)
_CLASSES = (
    string.ascii_lowercase,
    string.ascii_uppercase,
    string.digits,
    _SEPARATORS,
    "".join(set(string.punctuation) - set(_SEPARATORS)),
)
_FIRST_MARK = 0xE000  # of Unicode's private use area: what stands for the first word of a token
_MARK_STEP = 2  # so that marks are no sequence


def is_weak(token: str) -> bool:
    """Return whether a token is too short, or has too little in it that is not a word, a sequence or a repetition."""
    return len(token) < SHORTEST or bits(token) < BITS


def bits(token: str) -> float:
    """Return the estimated entropy of a token: for each surprising character, that of its alphabet.

    Something known, such as a word, is as surprising as one lower-case letter. Something known may have separators in
    it, such as `CHANGE_ME`, so the token counts as what it is with them or without, whichever is less.
    """
    return min(_bits(token), _bits(token.translate(_JOINED)))


def _bits(text: str) -> float:
    surprising = _without_runs(_marked(_without_copies(text)))
    used = "".join("a" if ord(letter) >= _FIRST_MARK else letter for letter in surprising)
    alphabet = sum(len(each) for each in _CLASSES if any(letter in each for letter in used))
    different = len(set(surprising))
    return min(len(surprising), 4 * different) * math.log2(max(alphabet, 2))


def _without_copies(text: str) -> str:
    """Return the characters that do not repeat what comes before: `abcd23` of `abcd2abcd3`."""
    lower = text.lower()
    kept: list[str] = []
    place = 0
    while place < len(text):
        end = place
        while end < len(text) and lower.find(lower[place : end + 1]) < place:
            end += 1
        if end - place < SHORTEST_COPY:
            end = place + 1
            kept.append(text[place])
        place = end
    return "".join(kept)


def _marked(text: str) -> str:
    """Return the text with a mark in the place of each known part, so that as few characters as possible are left."""
    ends: dict[int, list[int]] = {}
    for begin, end in _known(text):
        ends.setdefault(end, []).append(begin)
    # For each length of the text's beginning: the parts that it is made of.
    best: list[list[str]] = [[]]
    for end in range(1, len(text) + 1):
        options = [[*best[begin], text[begin:end]] for begin in (*ends.get(end, ()), end - 1)]
        best.append(min(options, key=len))
    marks: dict[str, str] = {}
    for part in best[-1]:
        if len(part) > 1:
            marks.setdefault(part.lower(), chr(_FIRST_MARK + _MARK_STEP * len(marks)))
    return "".join(marks.get(part.lower(), part) for part in best[-1])


def _known(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each known part begins and ends. They may overlap."""
    for found in _DATES.finditer(text):
        yield found.span(1)
    lower = text.lower()
    plain = lower.translate(_PLAIN)
    for begin in range(len(text)):
        for end in range(begin + 3, min(begin + LONGEST_WORD, len(text)) + 1):
            word = plain if end - begin >= SHORTEST_PASSWORD else lower
            if (lower[begin:end] in _words() or word[begin:end] in _words()) and _is_typed(text[begin:end]):
                yield begin, end
    keys = lower.translate(_UNSHIFTED)
    for found in _DOWN.finditer(keys):
        yield found.span()
    for touching in _touching():
        yield from ((begin, end) for begin, end in _walks(keys, touching) if _is_typed(text[begin:end]))


def _is_typed(word: str) -> bool:
    """Return whether the letters have the case that people give to a word. Those of a random token often have not."""
    return word in (word.lower(), word.upper(), word[0] + word[1:].lower())


def _walks(keys: str, touching: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Yield each part in which every key touches the one before it."""
    begin = 0
    for place in range(1, len(keys) + 1):
        if place < len(keys) and keys[place - 1 : place + 1] in touching:
            continue
        if place - begin >= SHORTEST_WALK:
            yield begin, place
        begin = place


@cache
def _words() -> frozenset[str]:
    common = (files("app.config") / "common_words.txt").read_text("ascii")
    return frozenset(f"{common} {_OF_SERVERS}".split())


@cache
def _touching() -> tuple[frozenset[str], ...]:
    """Return, for each keyboard, the pairs of keys that touch."""
    return tuple(frozenset(_pairs(rows)) for rows in _KEYBOARDS)


def _pairs(rows: tuple[str, ...]) -> Iterator[str]:
    for above, row in zip(("", *rows), rows, strict=False):
        for place, key in enumerate(row):
            for other in (row[place + 1 : place + 2], above[place : place + 1], above[place + 1 : place + 2]):
                if other:
                    yield key + other
                    yield other + key


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
