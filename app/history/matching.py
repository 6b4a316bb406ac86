"""Finds the words of a search in texts, in time linear in the text, in small slices.

SQLite's own `LIKE` and `instr` compare a pattern at every position of a text: 3,000 like letters in 20 MB of the same
letter took a minute, and no interrupt is looked at within one text. `in` of Python is linear (two-way string matching).
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable

SLICE = 256 * 1024  # characters or bytes; other threads may run in between


class OutOfTime(Exception):
    """The search has reached its time limit, or nobody waits for it any more."""


class Deadline:
    """The time limit of one search. It begins with `begin`, in the thread that searches; `cancel` ends it at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = float("inf")

    def begin(self) -> None:
        """Start the clock, unless the search was cancelled before."""
        self._end = min(self._end, time.monotonic() + self._seconds)

    def cancel(self) -> None:
        """Let the search end at its next step. Thread-safe."""
        self._end = 0.0

    @property
    def has_passed(self) -> bool:
        """Whether the search must end."""
        return time.monotonic() >= self._end

    def check(self) -> None:
        """Raise `OutOfTime` if the search must end."""
        if self.has_passed:
            raise OutOfTime


def holds_ascii(data: bytes, word: bytes, check: Callable[[], None]) -> bool:
    """Return whether UTF-8 `data` contains the ASCII `word`, ignoring the case of ASCII letters only."""
    word = word.lower()
    for begin in range(0, max(1, len(data)), SLICE):
        check()
        if word in data[begin : begin + SLICE + len(word) - 1].lower():
            return True
    return False


def holds_folded(data: bytes, word: str, check: Callable[[], None]) -> bool:
    """Return whether UTF-8 `data` contains `word`, ignoring case as Unicode's full case folding does."""
    word = word.casefold()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    kept = ""  # the end of the text so far, shorter than the word
    for begin in range(0, max(1, len(data)), SLICE):
        check()
        text = kept + decoder.decode(data[begin : begin + SLICE]).casefold()
        if word in text:
            return True
        kept = text[max(0, len(text) - len(word) + 1) :]
    return False


def text_holds(text: str, word: str, check: Callable[[], None]) -> bool:
    """Return whether `text` contains `word`, which is case-folded, ignoring case."""
    kept = ""
    for begin in range(0, max(1, len(text)), SLICE):
        check()
        folded = kept + text[begin : begin + SLICE].casefold()
        if word in folded:
            return True
        kept = folded[max(0, len(folded) - len(word) + 1) :]
    return False
