"""Splits a growing answer into top-level blocks, each as soon as later text cannot change it.

Only complete lines count. Parsing the open text after every line would take quadratic time. It is therefore parsed
after a line that probably ended a block and, since that is a guess, whenever it has grown by a quarter. A parse that
finds nothing delays the next one in the same way. So each character is parsed a bounded number of times.
"""

from __future__ import annotations

from typing import NamedTuple

from app.markdown.blocks.boundaries import find
from app.markdown.blocks.lines import Guesses, is_mark
from app.markdown.blocks.open_text import OpenText
from app.markdown.bounds import BLOCK_LENGTH, BLOCK_LINES, BLOCKS, DEFINITIONS, Deadline, TooMuchError
from app.markdown.grammar import Definitions

GROWTH = 1.25  # the factor between parses
UNGUESSED = 1024  # open characters at least for a parse without a guess
PATIENCE = 64  # new characters at least after a parse that found nothing
NEVER = "\n"  # an end mark that matches no line


class Block(NamedTuple):
    """A final block of an answer. `end` is its end in the answer, in UTF-16 code units."""

    source: str
    end: int
    is_plain: bool = False  # too long to be parsed


def units(text: str) -> int:
    """Return the length of `text` in UTF-16 code units, as in JavaScript."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


class Splitter:
    """Takes an answer piece by piece. The blocks do not depend on the sizes of the pieces."""

    def __init__(self) -> None:
        self.definitions: Definitions = {}  # of links, in the finished blocks
        self.end = 0  # the end of the last finished block, in UTF-16 code units
        self.parsed = 0  # characters parsed so far, counting repeats
        self._open = OpenText()
        self._guesses = Guesses()
        self._guess = False  # a line came that may have ended a block
        self._trust = 0.0  # characters that have to be open before a guess is believed
        self._seen = 0  # characters that were open after the last parse
        self._until: str | None = None  # in a block too long: the fence that ends it, or "": a blank line
        self._count = 0  # blocks so far
        self._looked = (0, 0)  # lines, and characters in them, already searched for that end
        self._last: list[Block] = []  # the blocks that `finish` had split before its deadline

    def __repr__(self) -> str:
        return f"<Splitter end={self.end} open={self._open.size}>"

    @property
    def tail(self) -> str:
        """The open text."""
        return str(self._open)

    @property
    def size(self) -> int:
        """The number of open characters."""
        return self._open.size + self._open.rest_size

    @property
    def is_due(self) -> bool:
        """Whether to call `cut`: a block may have ended or is too long."""
        size = self._open.size
        if self._open.is_too_long:
            return True
        if self._until is not None:
            return self._looked[0] < len(self._open.lines)
        has_grown = size >= UNGUESSED and size >= GROWTH * self._seen
        return has_grown or (self._guess and size >= self._trust)

    def feed(self, text: str) -> list[Block]:
        """Append text to the answer; return the blocks that it ends."""
        self.take(text)
        return self.cut()

    def take(self, text: str) -> bool:
        """Append text to the answer; return whether a cut is due. Cheap for any text."""
        for line in self._open.add(text):
            self._note(line)
        return self.is_due

    def cut(self, deadline: Deadline | None = None) -> list[Block]:
        """Return the blocks that have ended. At the deadline it returns those found so far; `is_due` remains true."""
        blocks: list[Block] = []
        try:
            while self.is_due:
                blocks += self._cut_parsed(deadline) if self._until is None else self._cut_plain(self._until)
        except TooMuchError:
            pass  # The interrupted parse has removed no text.
        return blocks

    def finish(self, deadline: Deadline | None = None) -> list[Block]:
        """End the answer; return the remaining blocks. Lines after the last parsed block become a block of their own.

        Raises `TooMuchError` at the deadline. A second call resumes from there.
        """
        for line in self._open.end():
            self._note(line)
        self._last += self.cut(deadline)
        if self.is_due:
            raise TooMuchError("there is more to cut")
        blocks: list[Block] = []
        if self._until is None:
            most = BLOCKS - self._count
            found = find(self._open.lines, final=True, most=most, deadline=deadline)
            self._define(found.definitions)
            blocks += self._cut_at(found.ends)
        if self._open.lines:
            blocks.append(self._block(self._open.cut(len(self._open.lines)), self._until is not None))
        blocks, self._last = self._last + blocks, []
        return blocks

    def _note(self, line: str) -> None:
        if self._until != NEVER:  # else all that follows is plain
            self._guess = self._guesses.may_end(line, self._open.first) or self._guess
        self._open.note(line)

    def _cut_parsed(self, deadline: Deadline | None) -> list[Block]:
        window = self._open.window()
        most = BLOCKS - self._count
        found = find(self._open.lines[:window], final=False, most=most, deadline=deadline)
        self.parsed += self._open.size
        self._guess = self._guess and window < len(self._open.lines)
        if not found.ends and self._open.is_too_long:
            self._until, self._looked = found.fence, (0, 0)
            return [self._cut_too_long(window)]
        self._define(found.definitions)
        blocks = self._cut_at(found.ends)
        self._seen = self._open.size
        self._trust = 0.0 if blocks else GROWTH * self._seen + PATIENCE
        return blocks

    def _cut_at(self, ends: list[int]) -> list[Block]:
        starts = [0, *ends]
        return [self._block(self._open.cut(end - start)) for start, end in zip(starts, ends, strict=False)]

    # ---- blocks that are too long ----------------------------------------------------------------------------

    def _cut_plain(self, until: str) -> list[Block]:
        """Continue a block that is too long: split it into plain blocks of the maximum length, up to its end mark."""
        looked, size = self._looked
        for number, line in enumerate(self._open.lines[looked:], looked):
            if size + len(line) > BLOCK_LENGTH or number == BLOCK_LINES:
                return [self._cut_too_long(number)]
            if is_mark(line, until) if until else not line.strip():
                self._until = None
                count = number + 1 if until else number
                return [self._block(self._open.cut(count), is_plain=True)] if count else []
            size += len(line)
        self._looked = (len(self._open.lines), size)
        return [self._cut_too_long(len(self._open.lines))] if self._open.is_too_long else []

    def _cut_too_long(self, lines: int) -> Block:
        self._looked = (0, 0)
        source = self._open.cut(lines) if lines else self._open.cut_within_line()
        return self._block(source, is_plain=True)

    def _block(self, source: str, is_plain: bool = False) -> Block:
        self.end += units(source)
        self._count += 1
        if self._count == BLOCKS:
            self._until = NEVER
        return Block(source, self.end, is_plain)

    def _define(self, definitions: Definitions) -> None:
        """Store link definitions. The first definition of a label counts."""
        for label, link in definitions.items():
            if len(self.definitions) >= DEFINITIONS:
                return
            self.definitions.setdefault(label, link)
