"""The bounds of rendering: how long a block may be, how deep, and how much time it may take."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

from markdown_it import MarkdownIt

BLOCK_LENGTH = 65_536  # characters; what is longer is shown as plain text
BLOCK_LINES = 4_096
COLOURED_LENGTH = 20_480  # characters of code; what is longer has no colours
MATHS_LENGTH = 2_000  # characters of one formula
MATHS_DEPTH = 60  # braces within braces
EMPTY_CELLS = 2_000  # that the grammar may add to the short rows of a table
DEPTH = 48  # of blocks in blocks; a list counts twice, for itself and for its item
BLOCKS = 4_000  # of one answer; what comes after them is plain text
DEFINITIONS = 500  # of links, in one answer
SECONDS = 0.25  # for one block; of processor time, so that a busy machine changes no answer
ANSWER_SECONDS = 2.0  # for all the blocks of an answer that is rendered at once

# markdown-it's own limit makes a megabyte of HTML from two kilobytes of text.
import_module("markdown_it.rules_block.table").__dict__["MAX_AUTOCOMPLETED_CELLS"] = EMPTY_CELLS

TERMINATED = ["paragraph", "reference", "blockquote", "list"]  # markdown-it asks before each of their lines


class TooMuchError(Exception):
    """A block is too deep, took too long, or was too much for the grammar. It is shown as plain text."""


class Deadline:
    """Bounds the processor time of a piece of work, which stays in the thread that made the deadline."""

    def __init__(self, seconds: float) -> None:
        self._earliest = time.monotonic() + seconds
        self._end = time.thread_time() + seconds

    def check(self) -> None:
        """Raise `TooMuchError` if the time is used up."""
        # The first clock costs a fifth of the second one, and this is asked at every other character.
        if time.monotonic() > self._earliest and time.thread_time() > self._end:
            raise TooMuchError("rendering takes too long")


def limit(parser: MarkdownIt) -> None:
    """Let a parser look at `env["deadline"]`, and at the depth, before it tries anything else."""
    parser.block.ruler.before("table", "limits", _limit_block, {"alt": TERMINATED})
    parser.inline.ruler.before("text", "limits", _limit_inline)
    parser.options["maxNesting"] = 2 * DEPTH  # where markdown-it itself would drop what is deeper


def _limit_block(state: Any, _start: int, _end: int, _silent: bool) -> bool:
    if state.level > DEPTH:
        raise TooMuchError("blocks are nested too deeply")
    state.env["deadline"].check()
    return False


def _limit_inline(state: Any, _silent: bool) -> bool:
    state.env["deadline"].check()
    return False
