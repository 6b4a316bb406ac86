"""Directions: what has a side takes it from its first letter, so that right-to-left text and its bullets stay together.

A browser finds that letter with `dir="auto"`, but not inside an element that has a `dir` of its own. So what stands
first in a list item, a quote or a fold has none, and shares the direction of what is around it.
"""

from __future__ import annotations

from typing import Any

from markdown_it import MarkdownIt

_SIDED = frozenset(
    {
        "bullet_list_open",
        "ordered_list_open",
        "blockquote_open",
        "table_open",
        "details_open",
        "footnote_open",
    }
)
_HOLDERS = frozenset({"list_item_open", "blockquote_open", "details_open"})


def add_directions(parser: MarkdownIt) -> None:
    """Give lists, quotes, tables, folds and footnotes their `dir`."""
    parser.core.ruler.after("block", "directions", _direct)


def _direct(state: Any) -> None:
    is_first = False
    for token in state.tokens:
        if token.type in _SIDED and not is_first:
            token.attrSet("dir", "auto")
        is_first = token.type in _HOLDERS
