"""Finds the ends of blocks that later lines cannot change. Pure functions of whole lines."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

from app.markdown.bounds import DEPTH, Deadline
from app.markdown.grammar import Definitions, grammar
from app.markdown.rules.details import CLOSED
from app.markdown.rules.maths import undecided

_NEWLINE = re.compile(r"\r\n?")
_ENDS_BY_ITSELF = frozenset({"heading_open", "hr", "maths"})
_ENDS_WITH_NEXT_LINE = frozenset({"paragraph_open", "table_open", "blockquote_open"})


class Found(NamedTuple):
    """The ends of the finished blocks, and the link definitions up to the last of them."""

    ends: list[int]  # the number of the line after each block
    definitions: Definitions
    fence: str  # the fence of the open block if it is a listing, else empty


def find(lines: list[str], *, final: bool, most: int, deadline: Deadline | None = None) -> Found:
    """Parse `lines`, which must start at a block boundary; only the last may be incomplete.

    A block has ended if no later line can belong to it or change its end. Blank lines and link definitions belong to
    the block after them. `final` means that no lines follow. At most `most` blocks are found. Raises `TooMuchError`
    after the deadline, which is checked at the start of each block.
    """
    tokens, links = _parse("".join(lines), deadline)
    limit = None if final else undecided(lines)
    ends: list[int] = []
    for number, token in enumerate(tokens):
        end = _end(token)
        has_ended = number + 1 < len(tokens) or _has_ended(token, len(lines))
        if number == most or not has_ended or (limit is not None and end >= limit):
            break
        ends.append(end)
    last = ends[-1] if ends else 0
    all_of_it = final and len(ends) < most
    known = {label: link for label, link in links.items() if link["map"][0] < last or all_of_it}
    still_open = tokens[len(ends)] if len(ends) < len(tokens) else None
    return Found(ends, known, still_open.markup if still_open and still_open.type == "fence" else "")


def _parse(source: str, deadline: Deadline | None) -> tuple[list[Token], Definitions]:
    """Return the opening tokens of the top-level blocks, and all link definitions."""
    env: dict[str, Any] = {"references": {}, "deadline": deadline}
    state = _Outline(_NEWLINE.sub("\n", source).replace("\0", "\ufffd"), _PARSER, env, [])
    _PARSER.block.tokenize(state, state.line, state.lineMax)
    return [token for token in state.tokens if token.nesting >= 0], env["references"]


class _Outline(StateBlock):
    """A parser state that keeps only top-level tokens: creating the others would be most of the work."""

    _scrap = Token("", "", 0)

    def push(self, ttype: str, tag: str, nesting: Literal[-1, 0, 1]) -> Token:
        """See `StateBlock`."""
        self.level += min(nesting, 0)
        token = self._scrap
        if self.level == 0:
            token = Token(ttype, tag, nesting)
            self.tokens.append(token)
        self.level += max(nesting, 0)
        return token


def _end(token: Token) -> int:
    return token.map[1] if token.map else 0


def _has_ended(token: Token, lines: int) -> bool:
    """Return whether the last block of a text with `lines` lines has ended."""
    if token.type in _ENDS_BY_ITSELF:
        return True
    if token.type == "fence" and token.map:
        # All lines between the fences are content. Without a closing fence the last line is content, too.
        return token.content.count("\n") < token.map[1] - token.map[0] - 1
    if token.type == "details_open":
        return token.markup == CLOSED
    # Lists, footnotes and indented code continue after blank lines.
    return token.type in _ENDS_WITH_NEXT_LINE and lines > _end(token)


def _look_at_the_clock(state: Any, _start: int, _end: int, _silent: bool) -> bool:
    if (deadline := state.env["deadline"]) is not None:
        deadline.check()
    return False


_PARSER = grammar(limited=False)
_PARSER.block.ruler.before("table", "clock", _look_at_the_clock)
_PARSER.options["maxNesting"] = DEPTH  # deeper nesting does not matter here
