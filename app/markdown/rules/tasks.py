"""Where tasks are: an item of a list that begins with a box, `[ ]` or `[x]`, and a space."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

# In the source, where a bracket that is escaped still has its backslash.
_BOX = re.compile(r"\[([ xX])\] ")


def add_tasks(parser: MarkdownIt) -> None:
    """Teach a parser to find tasks. Their boxes become tokens of the type `task`, marked ` ` or `x`."""
    parser.core.ruler.push("tasks", _tasks)


def _tasks(state: Any) -> None:
    for (opening, paragraph), line in zip(pairwise(state.tokens), state.tokens[2:], strict=False):
        if (opening.type, paragraph.type) == ("list_item_open", "paragraph_open"):
            _find_box(line)


def _find_box(line: Token) -> None:
    found = _BOX.match(line.content)
    children = line.children or []
    if found and children[0].content.startswith(found[0]):  # or else the brackets are a link
        children[0].content = children[0].content[len("[ ]") :]
        children.insert(0, Token("task", "", 0, markup=found[1].lower()))
