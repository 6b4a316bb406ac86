"""Highlights code as HTML: spans for coloured pieces only, grouped into boxes of lines that are laid out separately."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.markdown.bounds import COLOURED_LENGTH
from app.markdown.code.languages import LANGUAGES
from app.markdown.code.languages.rules import Language
from app.markdown.code.scanning import scan
from app.markdown.plain import escape

BOX_LINES = 32

_LINE = re.compile(r"[^\n]*+\n|[^\n]++")


def code(text: str, language: str) -> str:
    """Return the inner HTML of `<code>`. Code that is too long or in an unknown language is not highlighted."""
    known = LANGUAGES.get(language.lower()) if len(text) <= COLOURED_LENGTH else None
    lines = list(_coloured(text, known) if known else map(escape, _LINE.findall(text)))
    boxes = (lines[first : first + BOX_LINES] for first in range(0, len(lines), BOX_LINES))
    return "".join(f'<span class="lines">{"".join(box)}</span>' for box in boxes)


def _coloured(text: str, language: Language) -> Iterator[str]:
    """Yield the lines with their line endings. No span crosses a line boundary."""
    line: list[str] = []
    for name, piece in scan(text, language):
        for part in _LINE.findall(piece) if "\n" in piece else (piece,):
            line.append(_span(name, part))
            if part[-1] == "\n":
                yield "".join(line)
                line.clear()
    if line:
        yield "".join(line)


def _span(name: str, text: str) -> str:
    return f'<span class="{name}">{escape(text)}</span>' if name and not text.isspace() else escape(text)
