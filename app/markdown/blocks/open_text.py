"""The open text of an answer: complete lines, and the incomplete last line."""

from __future__ import annotations

import re
from itertools import pairwise

from app.markdown.bounds import BLOCK_LENGTH, BLOCK_LINES

_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")  # a CR at the end may be half of a CR LF


class OpenText:
    """A buffer of text: appended at its end, cut at its start."""

    def __init__(self) -> None:
        self.lines: list[str] = []  # with their line endings
        self.size = 0  # characters in `lines`
        self.first = ""  # the first line that is not blank
        self._rest: list[str] = []  # pieces of the incomplete line
        self.rest_size = 0  # characters in `_rest`
        self._returned = False  # whether the last piece ended with CR

    def __str__(self) -> str:
        return "".join(self.lines) + "".join(self._rest)

    @property
    def is_too_long(self) -> bool:
        """Whether the text exceeds the limits of a block."""
        return self.size + self.rest_size > BLOCK_LENGTH or len(self.lines) > BLOCK_LINES

    def add(self, text: str) -> list[str]:
        """Append `text`; return the lines that it completes, which the caller must pass to `note`."""
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
        """End the text; return the incomplete last line, if any, which the caller must pass to `note`."""
        rest = "".join(self._rest)
        self._keep("")
        return [rest] if rest else []

    def note(self, line: str) -> None:
        """Append a complete line."""
        self.lines.append(line)
        self.size += len(line)
        if not self.first and line.strip():
            self.first = line

    def window(self) -> int:
        """Return the number of leading lines that fit the limits of a block."""
        size = 0
        for number, line in enumerate(self.lines):
            size += len(line)
            if size > BLOCK_LENGTH or number == BLOCK_LINES:
                return number
        return len(self.lines)

    def cut(self, count: int) -> str:
        """Remove and return the first `count` lines."""
        taken = "".join(self.lines[:count])
        del self.lines[:count]
        self.size -= len(taken)
        self.first = next((line for line in self.lines if line.strip()), "")
        return taken

    def cut_within_line(self) -> str:
        """Remove and return the first `BLOCK_LENGTH` characters of the first line, which must be longer."""
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
