"""Headings are rendered two levels lower than written, below those of the page and of the message.

An underlined heading is a single line followed by at least three `=` or four `-`. Three dashes below text are a
thematic break: models mean that, while CommonMark would turn the whole paragraph above into a heading.
"""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt

LOWER = 2  # levels
LOWEST = 6
_UNDERLINE = re.compile(r"(={3,}|-{4,})[ \t]*")


def add_headings(parser: MarkdownIt) -> None:
    """Replace a parser's rule for underlined headings, and lower all headings."""
    parser.block.ruler.at("lheading", _underlined)
    parser.core.ruler.after("block", "lower_headings", _lower)


def _lower(state: Any) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + LOWER, LOWEST)}"


def _underlined(state: Any, start: int, end: int, silent: bool) -> bool:
    under = start + 1
    if silent or under >= end or state.is_code_block(start) or state.is_code_block(under):
        return False
    text = state.src[state.bMarks[under] + state.tShift[under] : state.eMarks[under]]
    found = _UNDERLINE.fullmatch(text)
    if not found or state.sCount[under] < state.blkIndent:
        return False
    level = 1 if found[1][0] == "=" else 2
    state.line = under + 1
    token = state.push("heading_open", f"h{level}", 1)
    token.markup, token.map = found[1][0], [start, state.line]
    token = state.push("inline", "", 0)
    token.content = state.getLines(start, under, state.blkIndent, False).strip()
    token.map, token.children = [start, under], []
    state.push("heading_close", f"h{level}", -1).markup = found[1][0]
    return True
