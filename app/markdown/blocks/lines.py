"""Guesses from single lines of an answer where a block may end. Cheap enough to run on every line."""

from __future__ import annotations

import re

_FENCE = re.compile(r"[\s>]*(?:[-*+]\s+|[0-9]+[.)]\s+)?(`{3,}|~{3,})")
# A list item; indented code continues in the same way.
_ITEM = re.compile(r"\s*(?:[-*+]|[0-9]{1,9}[.)])(?:\s|$)|    |\t")
_INTERRUPTS = re.compile(r"#{1,6}\s|[-*_=]{3,}\s*$|>")
_DETAILS = re.compile(r" {0,3}<details\b", re.IGNORECASE)
_DETAILS_END = re.compile(r"</details\s*>\s*$", re.IGNORECASE)
_FORMULA = re.compile(r"\s*(?:\$\$|\\\[)")


class Guesses:
    """Must get every open line once, in order. A wrong guess costs time or delay but never changes a block."""

    def __init__(self) -> None:
        self._blank = True  # whether the last line was
        self._fence = ""  # the mark of a listing that seems to be open
        self._folded = 0  # blocks of `<details>` that seem to be open, in each other
        self._formula = False  # whether one began since the last blank line: nothing is sure up to the next

    def may_end(self, line: str, first: str) -> bool:
        """Guess whether `line` ends a block. `first` is the first open line that is not blank, or empty."""
        was_blank, self._blank = self._blank, not line.strip()
        fence = _FENCE.match(line)
        if self._fence:
            closes = fence is not None and fence[1].startswith(self._fence)
            self._fence = "" if closes else self._fence
            return closes
        if fence:
            self._fence = fence[1]
            return bool(first)
        if _DETAILS.match(line) or self._folded:
            return self._fold(line)
        in_list = _ITEM.match(first) is not None
        if self._blank:
            self._formula = False
            return not was_blank and not in_list
        self._formula = self._formula or _FORMULA.match(line) is not None
        if self._formula:
            return False
        if line[0] in " \t":
            return False
        if _ITEM.match(line):
            return bool(first) and not in_list
        return (was_blank and bool(first)) or _INTERRUPTS.match(line) is not None

    def _fold(self, line: str) -> bool:
        """Process a line of `<details>`: inside it no block ends."""
        is_first = self._folded == 0
        if _DETAILS.match(line):
            self._folded += 1
        if _DETAILS_END.search(line):
            self._folded -= 1
        return self._folded == 0 or is_first


def is_mark(line: str, fence: str) -> bool:
    """Return whether `line` is the closing fence of a listing that started with `fence`."""
    text = line.strip()
    return text.startswith(fence) and not text.strip(fence[0])
