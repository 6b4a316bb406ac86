"""The text of an answer that is still open: whole lines, and the line that has not ended."""

from __future__ import annotations

import re
from itertools import pairwise

from app.markdown.bounds import BLOCK_LENGTH, BLOCK_LINES

_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")  # a CR at the end may be half of a CR LF


class OpenText:
    """Grows at its end, and is cut at its beginning."""

    def __init__(self) -> None:
        self.lines: list[str] = []  # each with its end
        self.size = 0  # characters in them
        self.first = ""  # the first line that is not blank
        self._rest: list[str] = []  # pieces of the line that has not ended
        self.rest_size = 0  # characters in them
        self._returned = False  # the last piece ended with CR

    def __str__(self) -> str:
        return "".join(self.lines) + "".join(self._rest)

    @property
    def is_too_long(self) -> bool:
        """Whether there is more than a block may hold."""
        return self.size + self.rest_size > BLOCK_LENGTH or len(self.lines) > BLOCK_LINES

    def add(self, text: str) -> list[str]:
        """Add `text`; return the lines that are whole now, for `note`."""
        self._rest.append(text)
        self.rest_size += len(text)
        if "\n" not in text and "\r" not in text and not self._returned:
            return []
        self._returned = text.endswith("\r")
        text = "".join(self._rest)
        ends = [0, *(found.end() for found in _LINE_END.finditer(text))]
        self._keep(text[ends[-1] :])
        return [text[begin:end] for begin, end in pairwise(ends)]

    def end(self) -> list[str]:
        """No more will come: return the last line, for `note`, if there is one without an end."""
        rest = "".join(self._rest)
        self._keep("")
        return [rest] if rest else []

    def note(self, line: str) -> None:
        """Add a whole line."""
        self.lines.append(line)
        self.size += len(line)
        if not self.first and line.strip():
            self.first = line

    def window(self) -> int:
        """Return how many of the lines a block may hold."""
        size = 0
        for number, line in enumerate(self.lines):
            size += len(line)
            if size > BLOCK_LENGTH or number == BLOCK_LINES:
                return number
        return len(self.lines)

    def cut(self, count: int) -> str:
        """Take away the first `count` lines, and return them."""
        taken = "".join(self.lines[:count])
        del self.lines[:count]
        self.size -= len(taken)
        self.first = next((line for line in self.lines if line.strip()), "")
        return taken

    def cut_within_line(self) -> str:
        """Take as much of the first line, which is longer than that, as a block may hold."""
        line = self.lines[0] if self.lines else "".join(self._rest)
        if self.lines:
            self.lines[0] = self.first = line[BLOCK_LENGTH:]
            self.size -= BLOCK_LENGTH
        else:
            self._keep(line[BLOCK_LENGTH:])
        return line[:BLOCK_LENGTH]

    def _keep(self, rest: str) -> None:
        self._rest = [rest]
        self.rest_size = len(rest)
