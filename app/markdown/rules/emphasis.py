"""The delimiters of emphasis and strikethrough.

CommonMark 0.31.2, section 6.2, with two changes. Runs next to Chinese, Japanese and Korean text, which has no spaces
between words, follow the CJK-friendly amendment (<https://github.com/tats-u/markdown-cjk-friendly>). And `**` followed
by a space is a delimiter too: it opens at the start of a line, where it cannot be an operator, and closes elsewhere.
"""

from __future__ import annotations

import unicodedata
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.rules_inline.state_inline import Delimiter


class Run(NamedTuple):
    """A delimiter run: its length, and whether it can open or close emphasis."""

    length: int
    can_open: bool
    can_close: bool


def add_emphasis(parser: MarkdownIt) -> None:
    """Replace a parser's rules for the delimiters of emphasis and strikethrough. Its pairing rules stay."""
    parser.inline.ruler.at("emphasis", _emphasis)
    parser.inline.ruler.at("strikethrough", _strikethrough)


def _emphasis(state: Any, silent: bool) -> bool:
    mark = state.src[state.pos]
    if silent or mark not in "*_":
        return False
    run = _scan(state, mark)
    for _ in range(run.length):
        _push(state, mark, run, run.length)
    state.pos += run.length
    return True


def _strikethrough(state: Any, silent: bool) -> bool:
    mark = state.src[state.pos]
    if silent or mark != "~":
        return False
    run = _scan(state, mark)
    if run.length < 2:
        return False
    if run.length % 2:
        state.push("text", "", 0).content = mark
    for _ in range(run.length // 2):
        _push(state, mark * 2, run, 0)  # length 0: the rule about multiples of three does not apply
    state.pos += run.length
    return True


def _push(state: Any, content: str, run: Run, length: int) -> None:
    state.push("text", "", 0).content = content
    token = len(state.tokens) - 1
    state.delimiters.append(Delimiter(ord(content[0]), length, token, -1, run.can_open, run.can_close))


def _scan(state: Any, mark: str) -> Run:
    """Return the delimiter run at the current position."""
    begin = end = state.pos
    while end < state.posMax and state.src[end] == mark:
        end += 1
    before, after = _before(state.src, begin), state.src[end] if end < state.posMax else " "
    opens = _flanks(inner=after, outer=before)
    closes = _flanks(inner=before, outer=after)
    if mark == "_":  # not inside words
        opens, closes = opens and (not closes or _is_mark(before)), closes and (not opens or _is_mark(after))
    if mark == "*" and end - begin == 2 and _is_space(after):
        is_first = begin == 0 or state.src[begin - 1] == "\n"
        opens, closes = opens or is_first, closes or not is_first
    return Run(end - begin, opens, closes)


def _before(text: str, position: int) -> str:
    """Return the character before a position; a space at the start of the text.

    A variation selector is skipped. An ideographic one follows an ideograph, so it counts as one.
    """
    if position and "\ufe00" <= text[position - 1] <= "\ufe0e":
        position -= 1
    if position and "\U000e0100" <= text[position - 1] <= "\U000e01ef":
        return "\u4e00"
    return text[position - 1] if position else " "


def _flanks(*, inner: str, outer: str) -> bool:
    """Return whether a run is left-flanking, with the next character as `inner`; swapped, whether right-flanking."""
    if _is_space(inner):
        return False
    if not _is_mark(inner) or _is_cjk(inner):
        return True
    return _is_space(outer) or _is_mark(outer) or _is_cjk(outer)


def _is_space(character: str) -> bool:
    return isWhiteSpace(ord(character))


def _is_mark(character: str) -> bool:
    return isMdAsciiPunct(ord(character)) or isPunctChar(character)


def _is_cjk(character: str) -> bool:
    """Return whether a character is Chinese, Japanese or Korean: wide and not an emoji, or a Hangul letter."""
    code = ord(character)
    if code < 0x1100:
        return False
    is_hangul = code <= 0x11FF or 0xD7B0 <= code <= 0xD7FF
    is_picture = unicodedata.category(character) in ("So", "Sk") and not 0x2E80 <= code < 0x1F000
    return is_hangul or (unicodedata.east_asian_width(character) in "WFH" and not is_picture)
