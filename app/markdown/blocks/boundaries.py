"""Where the blocks of a text end, as far as can be told while more lines may come. Pure functions of whole lines."""

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
    """What the lines of a text say: where its finished blocks end, and which links are defined up to there."""

    ends: list[int]  # line numbers, each one past a block
    definitions: Definitions
    fence: str  # the mark of the block that is still open, if it is a listing; else empty


def find(lines: list[str], *, final: bool, most: int, deadline: Deadline | None = None) -> Found:
    """Parse `lines`, whole but perhaps for the last one, which must begin where a block may begin.

    A block has ended if no line that may follow can be part of it, or change where it ends. Blank lines, and
    definitions of links, belong to the block after them. `final` says that nothing follows. No more than `most` are
    found at once. Raises `TooMuchError` after the deadline, which is looked at where blocks begin.
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
    """Return the tokens that begin the top-level blocks, and all definitions of links."""
    env: dict[str, Any] = {"references": {}, "deadline": deadline}
    state = _Outline(_NEWLINE.sub("\n", source).replace("\0", "\ufffd"), _PARSER, env, [])
    _PARSER.block.tokenize(state, state.line, state.lineMax)
    return [token for token in state.tokens if token.nesting >= 0], env["references"]


class _Outline(StateBlock):
    """The state of a parse that keeps the tokens of the top level only: the others would be most of the work."""

    _scrap = Token("", "", 0)

    def push(self, ttype: str, tag: str, nesting: Literal[-1, 0, 1]) -> Token:
        """See `StateBlock`."""
        self.level -= nesting < 0
        token = self._scrap
        if self.level == 0:
            token = Token(ttype, tag, nesting)
            self.tokens.append(token)
        self.level += nesting > 0
        return token


def _end(token: Token) -> int:
    return token.map[1] if token.map else 0


def _has_ended(token: Token, lines: int) -> bool:
    """Tell whether the last block of a text has ended, with so many lines in the text."""
    if token.type in _ENDS_BY_ITSELF:
        return True
    if token.type == "fence" and token.map:
        # Between its first line and its end mark every line is content; without an end mark the last one is, too.
        return token.content.count("\n") < token.map[1] - token.map[0] - 1
    if token.type == "details_open":
        return token.markup == CLOSED
    # Lists, footnotes and indented code go on after blank lines.
    return token.type in _ENDS_WITH_NEXT_LINE and lines > _end(token)


def _look_at_the_clock(state: Any, _start: int, _end: int, _silent: bool) -> bool:
    if (deadline := state.env["deadline"]) is not None:
        deadline.check()
    return False


_PARSER = grammar(limited=False)
_PARSER.block.ruler.before("table", "clock", _look_at_the_clock)
_PARSER.options["maxNesting"] = DEPTH  # what is deeper does not matter here
