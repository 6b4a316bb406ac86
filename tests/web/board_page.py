"""Reads the operations page."""

from __future__ import annotations

import re


def section(html: str, name: str) -> str:
    """Return one section of the page."""
    found = re.search(rf'<section aria-labelledby="{name}">.*?</section>', html, re.DOTALL)
    assert found
    return found[0]


def rows(html: str) -> list[dict[str, str]]:
    """Return the rows of a section's table: the text of each cell by the name of its column."""
    return [
        {
            name: " ".join(re.sub(r"<[^>]+>", " ", cell).split())
            for name, cell in re.findall(r'<td role="cell" data-name="([^"]+)">(.*?)</td>', row, re.DOTALL)
        }
        for row in re.findall(r"<tr\b.*?</tr>", html, re.DOTALL)
        if "<td" in row
    ]
