"""The levels of an answer's headings: the first is one below its message, and none skips a level.

Models begin with `#`, `##` or `###` as they please. Whoever moves from heading to heading by ear takes a level that is
missing for something that was missed (WCAG 2.2, technique G141).
"""

from __future__ import annotations

import re
from typing import NamedTuple

TOP = 3  # the level below a message, which is what a `#` is rendered as
_HEADING = re.compile(r"<(/?)h([3-6])>")  # in HTML of the renderer, where text has no `<`


class Levels(NamedTuple):
    """What the headings so far say about the next one."""

    lift: int | None = None  # levels that all of them are lifted by, as many as the first; before it, `None`
    last: int = TOP - 1  # the level of the last one

    def after(self, level: int) -> Levels:
        """Return what comes after a heading that would have this level: its own is the `last` then."""
        lift = level - TOP if self.lift is None else self.lift
        return Levels(lift, max(TOP, min(level - lift, self.last + 1)))


def leveled(html: str, before: Levels) -> tuple[str, Levels]:
    """Return a rendered block with its headings in their place, and what that says about the next block.

    The first heading of an answer says as a class by how much it was lifted, for the page, which paints what follows.
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
