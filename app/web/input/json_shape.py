"""Looks at a large JSON body before it is decoded: a list of millions of nothings would become gigabytes of objects."""

from __future__ import annotations

import re

import msgspec

from app.web.problems import ProblemError
from app.web.rules import MOST_PICTURES, SYSTEM_BYTES

SMALL = 64 * 1024  # bytes; what is smaller is decoded at once
FEW = 256  # objects
_BRACE = re.compile(rb"\{")
OTHERS = 64 * 1024  # commas beside those in the longest prompt and system prompt


class _Shape(msgspec.Struct):
    images: msgspec.Raw = msgspec.Raw(b"")


def check_shape(data: bytes | bytearray, most_text: int) -> None:
    """Raise a 413 if the body has more elements than any valid one. `most_text` is the longest prompt, in bytes.

    Texts count as if each of their commas was between elements, so this takes no look at every byte.
    """
    if len(data) <= SMALL:
        return
    if data.count(b",") > most_text + SYSTEM_BYTES + OTHERS:
        raise ProblemError(
            413, "request_too_large", "The request has too many elements, or its text is too long."
        )
    if data.count(b"{") > FEW and _has_too_many_images(data):
        raise ProblemError(
            413, "too_many_images", f"Too many images. The limit is {MOST_PICTURES} per message."
        )


def _has_too_many_images(data: bytes | bytearray) -> bool:
    """Count the images without decoding or copying them: each begins with a brace, and Base64 has none."""
    try:
        images = msgspec.json.decode(data, type=_Shape).images
    except (msgspec.DecodeError, RecursionError, ValueError):
        return False  # the decoder will say what is wrong
    return any(count > MOST_PICTURES for count, _ in enumerate(_BRACE.finditer(images), start=1))
