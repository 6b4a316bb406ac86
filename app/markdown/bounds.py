"""The limits of rendering: length, nesting depth and time."""

from __future__ import annotations

import gc
import time
from importlib import import_module
from typing import Any

from markdown_it import MarkdownIt

BLOCK_LENGTH = 65_536  # characters; a longer block is shown as plain text
BLOCK_LINES = 4_096
COLOURED_LENGTH = 20_480  # characters of code; longer code is not highlighted
MATHS_LENGTH = 2_000  # characters per formula
MATHS_DEPTH = 60  # nested braces
EMPTY_CELLS = 2_000  # cells that the grammar may add to short table rows
DEPTH = 48  # nested blocks; a list counts twice, for itself and for its item
BLOCKS = 4_000  # per answer; the rest is plain text
DEFINITIONS = 500  # link definitions per answer
SECONDS = 0.25  # processor time per block, so that the result does not depend on the load
CUTTING_SECONDS = 2.0  # processor time for cutting an answer that is rendered as a whole into its blocks
ANSWER_SECONDS = 2.0  # processor time for all blocks of an answer that is rendered as a whole

# markdown-it's own limit allows a megabyte of HTML from two kilobytes of text.
import_module("markdown_it.rules_block.table").__dict__["MAX_AUTOCOMPLETED_CELLS"] = EMPTY_CELLS

TERMINATED = ["paragraph", "reference", "blockquote", "list"]  # a rule may interrupt these at any line


class TooMuchError(Exception):
    """A block is nested too deeply, takes too long, or makes the grammar fail. It is shown as plain text."""


class Deadline:
    """Bounds the processor time of work in the current thread. Use it only in the thread that created it.

    If garbage was collected meanwhile, the time is allowed once more: how long that takes depends on the heap, not on
    the text, and a short text would be shown as plain text for it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._collections: int | None = _full_collections()  # `None` once the time was allowed again
        self._start()

    def check(self) -> None:
        """Raise `TooMuchError` if the time is used up."""
        # The first clock costs a fifth of the second, and this runs for every other character.
        if time.monotonic() > self._earliest and time.thread_time() > self._end:
            if self._collections in (None, _full_collections()):
                raise TooMuchError("rendering takes too long")
            self._collections = None
            self._start()

    def _start(self) -> None:
        self._earliest = time.monotonic() + self._seconds
        self._end = time.thread_time() + self._seconds


def _full_collections() -> int:
    """Return how often all garbage was collected. The quick collections of young objects do not matter here."""
    return int(gc.get_stats()[-1]["collections"])


def limit(parser: MarkdownIt) -> None:
    """Make a parser check `env["deadline"]` and the nesting depth before all other rules."""
    parser.block.ruler.before("table", "limits", _limit_block, {"alt": TERMINATED})
    parser.inline.ruler.before("text", "limits", _limit_inline)
    parser.options["maxNesting"] = 2 * DEPTH  # beyond this markdown-it drops content


def _limit_block(state: Any, _start: int, _end: int, _silent: bool) -> bool:
    if state.level > DEPTH:
        raise TooMuchError("blocks are nested too deeply")
    state.env["deadline"].check()
    return False


def _limit_inline(state: Any, _silent: bool) -> bool:
    state.env["deadline"].check()
    return False
