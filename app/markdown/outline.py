"""Embeds Markdown in a longer Markdown text: headings move below those of the text, open listings are closed."""

from __future__ import annotations

import re

from app.markdown.levels import Levels
from app.markdown.rules.fences import NESTING, language
from app.markdown.rules.headings import LOWER, LOWEST

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")
_HEADING = re.compile(r"\A( {0,3})(#{1,6})(?=[ \t\r\n]|$)")


def as_part(text: str) -> str:
    """Return `text` with its headings at the levels used on the page, and with its last listing closed.

    Headings in lists and quotes, and underlined ones, are not changed.
    """
    lines = text.splitlines(keepends=True)
    open_marks: list[str] = []  # the fences of the open listing and of those nested in it
    nests, levels = False, Levels()
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence and (not open_marks or fence[1].startswith(open_marks[0])):
            info = fence[2].strip()
            if not open_marks:
                nests = language(info).lower() in NESTING
            if not open_marks or (info and nests):
                open_marks.append(fence[1])
            elif not info:
                open_marks.pop()
        elif not open_marks and (heading := _HEADING.match(line)):
            levels = levels.after(min(len(heading[2]) + LOWER, LOWEST))
            lines[number] = f"{heading[1]}{'#' * levels.last}{line[heading.end() :]}"
    return "\n".join(["".join(lines).rstrip("\n"), *reversed(open_marks)])
