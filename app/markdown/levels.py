"""Adjusts the heading levels of an answer: the first is one below its message's heading, and none skips a level.

Models start with `#`, `##` or `###`. Screen reader users who navigate by headings take a skipped level for missed
content (WCAG 2.2, technique G141).
"""

from __future__ import annotations

import re
from typing import NamedTuple

TOP = 3  # the level below a message's heading; the grammar renders `#` at this level
_HEADING = re.compile(r"<(/?)h([3-6])>")  # safe on the renderer's HTML, where text contains no `<`


class Levels(NamedTuple):
    """The state that determines the level of the next heading."""

    lift: int | None = None  # levels that all of them are lifted by, as many as the first; before it, `None`
    last: int = TOP - 1  # the level of the last one

    def after(self, level: int) -> Levels:
        """Return the state after a heading with the original level `level`. Its adjusted level is `last`."""
        lift = level - TOP if self.lift is None else self.lift
        return Levels(lift, max(TOP, min(level - lift, self.last + 1)))


def leveled(html: str, before: Levels) -> tuple[str, Levels]:
    """Return a rendered block with adjusted heading levels, and the state for the next block.

    The first heading of an answer gets a class with its lift, if any. The page needs it to level the open text.
    """
    levels = before

    def place(found: re.Match[str]) -> str:
        nonlocal levels
        if found[1]:
            return f"</h{levels.last}>"
        is_first = levels.lift is None
        levels = levels.after(int(found[2]))
        return (
            f'<h{levels.last} class="lift-{levels.lift}">'
            if is_first and levels.lift
            else f"<h{levels.last}>"
        )

    return (_HEADING.sub(place, html), levels) if "<h" in html else (html, levels)
