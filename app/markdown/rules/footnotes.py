"""Footnotes: `[^1]` in a text, and `[^1]: …` with what it says, which stays where it was written.

Definitions of footnotes are kept with those of links, under a label that begins with `^`. So blocks that refer to a
footnote which is defined later are rendered again, as they are for links.
"""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference

_LABEL = r"\[\^([^\s\[\]\\^]{1,60})\]"
_DEFINITION = re.compile(_LABEL + r":[ \t]*")
_REFERENCE = re.compile(_LABEL + r"(?!\()")
_ADDRESS = re.compile(r"<?(https?://[^\s<>]+?)>?[.,;]?\s*")  # a footnote that says nothing else
INDENT = 4  # columns, of what belongs to a footnote after its first line


def add_footnotes(parser: MarkdownIt) -> None:
    """Teach a parser to find footnotes: blocks of the type `footnote_open`, and in a line `footnote`."""
    parser.block.ruler.before("reference", "footnote", _definition, {"alt": ["paragraph", "reference"]})
    parser.inline.ruler.before("link", "footnote", _reference)


def _key(label: str) -> str:
    return str(normalizeReference("^" + label))


def _reference(state: Any, silent: bool) -> bool:
    """Find a reference. One that is no number must be defined, or else it is text in brackets."""
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
    """Note a footnote, the first of its label, and where it leads, if it is nothing but an address."""
    address = _ADDRESS.fullmatch(text) if lines[1] - lines[0] == 1 or "://" in text else None
    href = state.md.normalizeLink(address[1]) if address else ""
    known = {"href": href if state.md.validateLink(href) else "", "title": "", "map": lines}
    state.env.setdefault("references", {}).setdefault(_key(label), known)
