"""Footnotes: references `[^1]`, and definitions `[^1]: …`, which are rendered where they are written.

Footnote definitions are stored with the link definitions, under a label that starts with `^`. Blocks that refer to a
footnote defined later are therefore rendered again, as for links.
"""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference

_LABEL = r"\[\^([^\s\[\]\\^]{1,60})\]"
_DEFINITION = re.compile(_LABEL + r":[ \t]*")
_REFERENCE = re.compile(_LABEL + r"(?!\()")
_ADDRESS = re.compile(r"<?(https?://[^\s<>]+?)>?[.,;]?\s*")  # a footnote that is only an address
INDENT = 4  # columns, of the lines of a footnote after its first


def add_footnotes(parser: MarkdownIt) -> None:
    """Make a parser recognise footnotes: block tokens `footnote_open`, inline tokens `footnote`."""
    parser.block.ruler.before("reference", "footnote", _definition, {"alt": ["paragraph", "reference"]})
    parser.inline.ruler.before("link", "footnote", _reference)


def _key(label: str) -> str:
    return str(normalizeReference("^" + label))


def _reference(state: Any, silent: bool) -> bool:
    """Parse a reference. A label that is not a number must be defined; otherwise it is text in brackets."""
    if not state.src.startswith("[^", state.pos):
        return False
    found = _REFERENCE.match(state.src, state.pos, state.posMax)
    known = found and state.env.get("references", {}).get(_key(found[1]))
    if not found or not (known or (found[1].isascii() and found[1].isdigit())):
        return False
    if not silent:
        token = state.push("footnote", "sup", 0)
        token.content = found[1]
        token.attrs = {"href": known["href"]} if known and known["href"] else {}
    state.pos = found.end()
    return True


def _definition(state: Any, start: int, end: int, silent: bool) -> bool:
    first, last = state.bMarks[start] + state.tShift[start], state.eMarks[start]
    found = None if state.is_code_block(start) else _DEFINITION.match(state.src, first, last)
    if not found or found.end() == last:
        return False
    if silent:
        return True
    token = state.push("footnote_open", "div", 1)
    token.info = found[1]
    kept = (state.bMarks[start], state.tShift[start], state.sCount[start], state.blkIndent, state.parentType)
    state.bMarks[start], state.tShift[start] = found.end(), 0
    state.blkIndent += INDENT
    state.sCount[start] = state.blkIndent
    state.parentType = "footnote"
    state.md.block.tokenize(state, start, end)
    state.bMarks[start], state.tShift[start], state.sCount[start], state.blkIndent, state.parentType = kept
    state.push("footnote_close", "div", -1)
    token.map = [start, state.line]
    _define(state, found[1], state.src[found.end() : last], token.map)
    return True


def _define(state: Any, label: str, text: str, lines: list[int]) -> None:
    """Store a footnote unless its label is taken, with its address if it consists of nothing else."""
    address = _ADDRESS.fullmatch(text) if lines[1] - lines[0] == 1 or "://" in text else None
    href = state.md.normalizeLink(address[1]) if address else ""
    known = {"href": href if state.md.validateLink(href) else "", "title": "", "map": lines}
    state.env.setdefault("references", {}).setdefault(_key(label), known)
