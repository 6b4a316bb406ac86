"""`<details>` blocks with a `<summary>` before other content, and Markdown inside.

The tags start and end lines. Like a listing, an unclosed block extends to the end of its container.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from markdown_it import MarkdownIt

from app.markdown.bounds import TERMINATED

CLOSED = "closed"  # the token's markup if the closing tag was found
_OPENING = re.compile(r"<details(\s+open(?:=\"\"|=\"open\")?)?\s*>[ \t]*", re.IGNORECASE)
_SUMMARY = re.compile(r"<summary>(.*?)</summary>[ \t]*", re.IGNORECASE)
_CLOSING = re.compile(r"</details\s*>[ \t]*\Z", re.IGNORECASE)
_FENCE = re.compile(r"(?:[-*+>][ \t]+)*(`{3,}|~{3,})")


class _End(NamedTuple):
    """The last line of a block, and the position where its content ends."""

    line: int
    position: int
    is_closed: bool


def add_details(parser: MarkdownIt) -> None:
    """Make a parser recognise `<details>`: tokens `details_open` and, first inside it, `summary_open`."""
    parser.block.ruler.before("table", "details", _details, {"alt": TERMINATED})


def _details(state: Any, start: int, end: int, silent: bool) -> bool:
    first = state.bMarks[start] + state.tShift[start]
    if state.src[first : first + 1] != "<" or state.is_code_block(start):
        return False
    opening = _OPENING.match(state.src, first, state.eMarks[start])
    if not opening:
        return False
    if silent:
        return True
    last = _end(state, start, opening.end(), end)
    token = state.push("details_open", "details", 1)
    token.markup = CLOSED if last.is_closed else ""
    token.attrs = {"open": ""} if opening[1] else {}
    _content(state, start, opening.end(), last)
    state.push("details_close", "details", -1)
    state.line = min(last.line + 1, end)
    token.map = [start, state.line]
    return True


def _end(state: Any, start: int, position: int, end: int) -> _End:
    """Find the end of a block whose content starts at `position`, in the line `start`."""
    depth, fence = 1, ""
    for line in range(start, end):
        if line > start:
            position = state.bMarks[line] + state.tShift[line]
            if state.sCount[line] < state.blkIndent and not state.isEmpty(line):
                return _End(line - 1, state.eMarks[line - 1], False)
        text = state.src[position : state.eMarks[line]]
        mark = _FENCE.match(text)
        if mark and (not fence or (mark[1].startswith(fence) and not text.strip().strip(fence[0]))):
            fence = "" if fence else mark[1]
        if fence:
            continue
        if line > start and _OPENING.match(text):
            depth += 1
        if closing := _CLOSING.search(text):
            depth -= 1
            if depth == 0:
                return _End(line, position + closing.start(), True)
    return _End(end - 1, state.eMarks[end - 1], False)


def _content(state: Any, start: int, position: int, last: _End) -> None:
    """Parse the summary and the content after it."""
    line, after, found = start, position, None
    while line <= last.line:
        found = _SUMMARY.match(state.src, after, state.eMarks[line])
        if found or state.src[after : state.eMarks[line]].strip():
            break
        line += 1
        after = state.bMarks[line] + state.tShift[line] if line <= last.line else after
    if found:
        _summary(state, found[1], line)
        _nested(state, line, found.end(), last)
    else:
        _nested(state, start, position, last)


def _summary(state: Any, text: str, line: int) -> None:
    state.push("summary_open", "summary", 1)
    token = state.push("inline", "", 0)
    token.content, token.map, token.children = text.strip(), [line, line + 1], []
    state.push("summary_close", "summary", -1)


def _nested(state: Any, line: int, position: int, last: _End) -> None:
    """Parse the lines from `line` to `last`: the first from `position`, the last up to its end position."""
    kept = (
        state.bMarks[line],
        state.tShift[line],
        state.sCount[line],
        state.eMarks[last.line],
        state.lineMax,
    )
    state.eMarks[last.line], state.lineMax = last.position, last.line + 1
    state.bMarks[line], state.tShift[line], state.sCount[line] = position, 0, state.blkIndent
    parent, state.parentType = state.parentType, "blockquote"
    state.md.block.tokenize(state, line, last.line + 1)
    state.parentType = parent
    state.bMarks[line], state.tShift[line], state.sCount[line], state.eMarks[last.line], state.lineMax = kept
