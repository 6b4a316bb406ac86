"""The kinds of images that are accepted."""

from __future__ import annotations

import re

# The type is detected by the first bytes. File names and declared types are ignored.
KINDS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}


def media_type(data: bytes) -> str | None:
    """Return the media type of an image; `None` if it is not supported."""
    return next((kind for kind, start in KINDS.items() if start.match(data)), None)
