"""Task lists: a list item that starts with a box, `[ ]` or `[x]`, and a space."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Matched against the source, where an escaped bracket still has its backslash.
_BOX = re.compile(r"\[([ xX])\] ")


def add_tasks(parser: MarkdownIt) -> None:
    """Make a parser recognise tasks. Boxes become tokens of the type `task`, with the markup ` ` or `x`."""
    parser.core.ruler.push("tasks", _tasks)


def _tasks(state: Any) -> None:
    for (opening, paragraph), line in zip(pairwise(state.tokens), state.tokens[2:], strict=False):
        if (opening.type, paragraph.type) == ("list_item_open", "paragraph_open"):
            _find_box(line)


def _find_box(line: Token) -> None:
    found = _BOX.match(line.content)
    children = line.children or []
    if found and children[0].content.startswith(found[0]):  # otherwise the brackets are a link
        children[0].content = children[0].content[len("[ ]") :]
        children.insert(0, Token("task", "", 0, markup=found[1].lower()))
