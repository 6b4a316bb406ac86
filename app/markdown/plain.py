"""Escapes text as HTML."""

from __future__ import annotations

import html
import re

# Overrides, embeddings and isolates (UAX 9). A <bdi> around each limits its scope to itself, so it reorders nothing
# but is still part of copied text.
_BIDI_CONTROL = re.compile("[\u202a-\u202e\u2066-\u2069]")
# NUL is forbidden in HTML, unpaired surrogates in UTF-8.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def clean(text: str) -> str:
    """Return `text` with NUL and surrogates replaced by U+FFFD."""
    return _NO_TEXT.sub("\ufffd", text)


def escape(text: str) -> str:
    """Return `text` as HTML. Bidirectional control characters are kept but have no effect."""
    return _BIDI_CONTROL.sub(r'<bdi class="control">\g<0></bdi>', html.escape(text))


def without_controls(text: str) -> str:
    """Return `text` without bidirectional control characters, for attributes, where they cannot be wrapped."""
    return _BIDI_CONTROL.sub("", text)


def plain(text: str) -> str:
    """Return an HTML block that shows `text` unchanged."""
    return f'<pre class="plain">{escape(clean(text))}</pre>'
