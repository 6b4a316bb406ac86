"""Listings (fenced code), and their languages.

Models nest listings inside a listing of Markdown with fences of the same length, where CommonMark would end the outer
one at the inner closing fence. A nested listing must name its language; otherwise its fence closes the outer one.
"""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt

from app.markdown.bounds import TERMINATED

_FENCE = re.compile(r"(`{3,}+)([^`]*+)|(~{3,}+)(.*+)")
NESTING = frozenset({"markdown", "md", "mdx"})
# `python title="x"`, `python:main.py`, `js{1,3}`, `{.python .numbered}`, `language-python`
_LANGUAGE = re.compile(r"[\s{]*+\.?(?:lang(?:uage)?-)?([^\s{}()\[\]:,;=\"']++)(?!=[\"'])")


def add_fences(parser: MarkdownIt) -> None:
    """Replace a parser's rule for listings."""
    parser.block.ruler.at("fence", _fence, {"alt": TERMINATED})


def language(info: str) -> str:
    """Return the language in the info string of a listing; empty if there is none."""
    found = _LANGUAGE.match(info)
    return found[1] if found else ""


def _fence(state: Any, start: int, end: int, silent: bool) -> bool:
    mark, info = _mark(state, start)
    if not mark:
        return False
    if silent:
        return True
    last, is_closed = _last_line(state, start, end, mark, nests=language(info).lower() in NESTING)
    state.line = last + 1 if is_closed else last
    token = state.push("fence", "code", 0)
    token.info, token.markup, token.map = info, mark, [start, state.line]
    token.content = state.getLines(start + 1, last, state.sCount[start], True)
    return True


def _mark(state: Any, line: int) -> tuple[str, str]:
    """Return the fence at the start of a line and its info string; two empty strings if there is none."""
    first = state.bMarks[line] + state.tShift[line]
    if state.is_code_block(line) or state.src[first : first + 1] not in ("`", "~"):
        return "", ""
    found = _FENCE.fullmatch(state.src, first, state.eMarks[line])
    if not found:
        return "", ""
    return found[1] or found[3], found[2] or found[4] or ""


def _last_line(state: Any, start: int, end: int, mark: str, *, nests: bool) -> tuple[int, bool]:
    """Return the line after the content, and whether it is the closing fence."""
    depth = 0
    for line in range(start + 1, end):
        if state.sCount[line] < state.blkIndent and not state.isEmpty(line):
            return line, False
        found, info = _mark(state, line)
        if not found.startswith(mark):
            continue
        if info.strip():
            depth += 1 if nests else 0
        elif depth:
            depth -= 1
        else:
            return line, True
    return end, False
