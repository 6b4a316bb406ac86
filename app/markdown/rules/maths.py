r"""Formulas: `$$…$$` and `\[…\]` as blocks or inline, `\(…\)` and `$…$` inline.

As in LaTeX, a formula contains no blank line. An unclosed formula therefore affects only its own paragraph.
"""

from __future__ import annotations

import re
from bisect import bisect
from typing import Any

from markdown_it import MarkdownIt

from app.markdown.bounds import MATHS_LENGTH, TERMINATED

_BLOCKS = {"$$": "$$", r"\[": r"\]"}
_INLINE = {**_BLOCKS, r"\(": r"\)"}
_ESCAPE_OR_DOLLARS = re.compile(r"\\.|\$+", re.DOTALL)
_WORD = re.compile(r"\s[A-Za-z]{2}")
_NO_PROSE = re.compile(r"[\\^_={]")
_AFTER_DIGIT = re.compile(r"[\\^_{]|[A-Za-z]\S*+\Z")
# A line that may start a formula, at any nesting.
_OPENING = re.compile(r"[\s>*+\-0-9.)]*(\$\$|\\\[)")


def add_maths(parser: MarkdownIt) -> None:
    """Make a parser recognise formulas: inline and block tokens of the type `maths`."""
    parser.block.ruler.before("table", "maths", _maths_block, {"alt": TERMINATED})
    parser.inline.ruler.before("newline", "maths", _maths_inline)
    parser.inline.ruler.after("maths", "dollar", _dollar_inline)


def undecided(lines: list[str]) -> int | None:
    """Return the first line that may start a formula, depending on later lines; `None` if there is none."""
    waiting: dict[str, int] = {}
    for number, line in enumerate(lines):
        if not line.strip():
            waiting.clear()
            continue
        for opening, closing in _BLOCKS.items():
            if opening in line or closing in line:
                waiting.pop(opening, None)
        found = _OPENING.match(line)
        if found and _BLOCKS[found[1]] not in line[found.end() :]:
            waiting[found[1]] = number
    return min(waiting.values(), default=None)


def _maths_block(state: Any, start: int, end: int, silent: bool) -> bool:
    if state.is_code_block(start):
        return False
    first = state.bMarks[start] + state.tShift[start]
    opening = state.src[first : first + 2]
    closing = _BLOCKS.get(opening)
    last = None if closing is None else _last_line(state, start, end, opening, closing)
    if last is None:
        return False
    if not silent:
        source = state.getLines(start, last + 1, state.blkIndent, False).strip()
        token = state.push("maths", "math", 0)
        token.content, token.markup = source[2:-2], opening
        token.map = [start, last + 1]
        state.line = last + 1
    return True


def _last_line(state: Any, start: int, end: int, opening: str, closing: str) -> int | None:
    """Return the line that ends with the closing mark; `None` if the formula is interrupted or not closed."""
    for line in range(start, end):
        begin = state.bMarks[line] + state.tShift[line]
        text = state.src[begin + 2 if line == start else begin : state.eMarks[line]]
        if line > start and (state.isEmpty(line) or state.sCount[line] < state.blkIndent):
            return None
        found = text.find(closing)
        if found >= 0:
            is_end = not text[found + 2 :].strip() and (line > start or text[:found].strip())
            return line if is_end else None
        if opening in text:
            return None
    return None


def _dollar_inline(state: Any, silent: bool) -> bool:
    """Parse `$…$` by Pandoc's rule (`tex_math_dollars`): no dollar or space at its ends, no digit after it.

    Prices and shell variables are excluded too: no dollar between a currency code and its amount (`US$5`), no amount
    followed by words, and no code inside. After a digit (`5$`) only what is clearly a formula is one: `30$^\\circ$C`.
    """
    src, begin = state.src, state.pos + 1
    if src[begin - 1] != "$" or begin >= state.posMax or src[begin].isspace() or src[begin] == "$":
        return False
    before = src[begin - 2] if begin > 1 else " "
    if before == "$" or (before.isascii() and before.isalpha() and src[begin].isdigit()):
        return False
    end = _closing_dollar(state, begin)
    content = src[begin:end]
    if len(content) > 2 and content[0] == content[-1] == "`":
        content = content[1:-1]  # GitHub's syntax: $`…`$
    if not content or "`" in content or _is_amount(content):
        return False
    if before in "0123456789" and not _AFTER_DIGIT.match(content):
        return False
    if not silent:
        token = state.push("maths", "math", 0)
        token.content, token.markup = content, "$"
    state.pos = end + 1
    return True


def _is_amount(content: str) -> bool:
    """Return whether this looks like an amount of money followed by words."""
    return content[0].isdigit() and bool(_WORD.search(content)) and not _NO_PROSE.search(content)


def _closing_dollar(state: Any, begin: int) -> int:
    """Return the position of the next dollar after `begin` if it closes a formula, else `begin`."""
    src, marks = state.src, state.__dict__.get("dollars")
    if marks is None:  # searched once per text, which may have many dollars
        marks = state.dollars = [
            mark.start() for mark in _ESCAPE_OR_DOLLARS.finditer(src) if mark[0][0] == "$"
        ]
    index = bisect(marks, begin)
    end = int(marks[index]) if index < len(marks) else state.posMax
    if end >= min(state.posMax, begin + MATHS_LENGTH) or src[end - 1].isspace():
        return begin
    return begin if src[end + 1 : end + 2] in tuple("0123456789$") else end


def _maths_inline(state: Any, silent: bool) -> bool:
    opening = state.src[state.pos : state.pos + 2]
    closing = _INLINE.get(opening)
    if closing is None:
        return False
    begin = state.pos + 2
    end = state.src.find(closing, begin, min(begin + MATHS_LENGTH, state.posMax))
    if end < 0 or not state.src[begin:end].strip():
        return False
    if not silent:
        token = state.push("maths", "math", 0)
        token.content, token.markup = state.src[begin:end], opening
    state.pos = end + 2
    return True
