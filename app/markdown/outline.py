"""Markdown as a part of a longer text in Markdown: under its headings, and with nothing left open."""

from __future__ import annotations

import re

from app.markdown.fence_rules import NESTING, language
from app.markdown.heading_rules import LOWER, LOWEST

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")
_HEADING = re.compile(r"\A( {0,3})(#{1,6})(?=[ \t\r\n]|$)")


def as_part(text: str) -> str:
    """Return `text` with its headings as many levels lower as the page shows them, and with its last listing closed.

    Headings in lists and quotes, and underlined ones, stay as they are.
    """
    lines = text.splitlines(keepends=True)
    open_marks: list[str] = []  # of a listing, and of those in it
    nests = False
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
        elif not open_marks:
            lines[number] = _HEADING.sub(_lowered, line)
    return "\n".join(["".join(lines).rstrip("\n"), *reversed(open_marks)])


def _lowered(found: re.Match[str]) -> str:
    return found[1] + "#" * min(len(found[2]) + LOWER, LOWEST)
