"""Lists: a numbered list may interrupt a paragraph with any first number.

CommonMark requires a 1, because a line of wrapped text may start with a number. Models don't wrap text.
"""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import list_block

_NUMBERED = re.compile(r"[0-9]{1,3}[.)][ \t]+\S")  # three digits at most: a year is not an item number


def add_lists(parser: MarkdownIt) -> None:
    """Replace a parser's rule for lists."""
    parser.block.ruler.at("list", _list, {"alt": ["paragraph", "reference", "blockquote"]})


def _list(state: Any, start: int, end: int, silent: bool) -> bool:
    parent, first = state.parentType, state.bMarks[start] + state.tShift[start]
    if silent and parent == "paragraph" and _NUMBERED.match(state.src, first, state.eMarks[start]):
        state.parentType = "list"
    try:
        return list_block(state, start, end, silent)
    finally:
        state.parentType = parent
