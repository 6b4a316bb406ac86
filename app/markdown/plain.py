"""Text as HTML that shows it and nothing else."""

from __future__ import annotations

import html
import re

# Overrides, embeddings and isolates (UAX 9). Alone in a <bdi>, each of them ends where it begins: it reorders nothing,
# and whoever copies the text still gets all of it.
_BIDI_CONTROL = re.compile("[\u202a-\u202e\u2066-\u2069]")
# What is no text: NUL, which HTML forbids, and halves of surrogate pairs, which UTF-8 does.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def clean(text: str) -> str:
    """Return `text` with U+FFFD for what no page can hold."""
    return _NO_TEXT.sub("\ufffd", text)


def escape(text: str) -> str:
    """Return HTML that shows `text`; bidirectional control characters stay in it without effect."""
    return _BIDI_CONTROL.sub(r'<bdi class="control">\g<0></bdi>', html.escape(text))


def without_controls(text: str) -> str:
    """Return `text` for an attribute, where nothing can be wrapped."""
    return _BIDI_CONTROL.sub("", text)


def plain(text: str) -> str:
    """Return a block that shows `text` as it was written."""
    return f'<pre class="plain">{escape(clean(text))}</pre>'
