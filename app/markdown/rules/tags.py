"""The few inline HTML tags that models write. All other tags, and tags with attributes, are text.

`<br>` is a line break. The others must be paired within one paragraph, and nest properly with other markup.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

TAGS = ["sub", "sup", "kbd"]
_TAG = re.compile(rf"<(/?)({'|'.join(TAGS)})\s?>", re.IGNORECASE)
# Includes a line ending after it, which must not become a second break.
_BREAK = re.compile(r"</?br\s*/?>[ \t]*(?:\n[ \t]*)?", re.IGNORECASE)


def add_tags(parser: MarkdownIt) -> None:
    """Make a parser recognise tags. Pairs become tokens of the types `tag_open` and `tag_close`."""
    parser.inline.ruler.before("autolink", "tag", _tag)
    parser.core.ruler.after("inline", "tags", _pair_all)


def _tag(state: Any, silent: bool) -> bool:
    if state.src[state.pos] != "<":
        return False
    found = _BREAK.match(state.src, state.pos, state.posMax)
    if found:
        if not silent:
            state.pending = state.pending.rstrip(" ")
            state.push("hardbreak", "br", 0)
    else:
        found = _TAG.match(state.src, state.pos, state.posMax)
        if not found:
            return False
        if not silent:
            token = state.push("tag", found[2].lower(), 0)
            token.content, token.info = found[0], found[1]
    state.pos = found.end()
    return True


def _pair_all(state: Any) -> None:
    for token in state.tokens:
        if token.type == "inline" and "<" in token.content:
            _pair(token.children or [])


def _pair(tokens: list[Token]) -> None:
    """Pair the tags; unpaired tags become text."""
    levels = [_Level()]
    for token in tokens:
        if token.type == "tag":
            levels[-1].take(token)
        elif token.nesting > 0:
            levels.append(_Level())
        elif token.nesting < 0:
            levels.pop().drop()
    levels[-1].drop()


class _Level:
    """The open tags at one nesting level of other markup."""

    def __init__(self) -> None:
        self._open: list[Token] = []
        self._names: Counter[str] = Counter()

    def take(self, token: Token) -> None:
        """Process a tag: open it, or pair it with its opening tag; tags between the two become text."""
        if not token.info:
            self._open.append(token)
            self._names[token.tag] += 1
        elif self._names[token.tag]:
            while (opening := self._pop()).tag != token.tag:
                _as_text(opening)
            opening.type, opening.nesting, opening.content = "tag_open", 1, ""
            token.type, token.nesting, token.content = "tag_close", -1, ""
        else:
            _as_text(token)

    def drop(self) -> None:
        """Turn the tags that are still open into text."""
        while self._open:
            _as_text(self._pop())

    def _pop(self) -> Token:
        token = self._open.pop()
        self._names[token.tag] -= 1
        return token


def _as_text(token: Token) -> None:
    token.type, token.tag = "text", ""
