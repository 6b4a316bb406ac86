"""Looks at a large JSON body before it is decoded: a list of millions of nothings would become gigabytes of objects.

A long text is costly, too: with one emoji in it, each of its characters takes four bytes, and an error quotes it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from app.web.problems import ProblemError
from app.web.rules import MOST_PICTURES, MOST_STOPS, SYSTEM_BYTES

SMALL = 64 * 1024  # bytes; what is smaller is decoded at once
FEW = 256  # commas
OTHERS = 64 * 1024  # bytes, or commas, beside the longest prompt and system prompt
ESCAPED = 6  # bytes of JSON per byte of a text, if each is escaped


def _list_of(most: int) -> Any:
    """Return the type of a list of up to `most` elements, none of which is decoded or copied.

    `msgspec.Meta(max_length=)` looks at a list that has been made already.
    """
    elements = [(f"element_{number}", msgspec.Raw, msgspec.Raw(b"")) for number in range(most)]
    return msgspec.defstruct("List", elements, array_like=True, forbid_unknown_fields=True)


class _Shape(msgspec.Struct):
    images: msgspec.Raw = msgspec.Raw(b"")


_Images = msgspec.defstruct("_Images", [("images", _list_of(MOST_PICTURES) | None, None)])
_Options = msgspec.defstruct("_Options", [("stop", _list_of(MOST_STOPS) | None, None)])
_Stops = msgspec.defstruct("_Stops", [("options", _Options | None, None)])


def check_shape(data: bytes | bytearray, most_text: int) -> None:
    """Raise a 413 or 422 if the body has more elements, or more text, than any valid one.

    `most_text` is the longest prompt, in bytes. Texts count as if each of their commas was between elements. Raises
    what the decoder raises, too.
    """
    if len(data) <= SMALL:
        return
    commas = data.count(b",")
    if commas > most_text + SYSTEM_BYTES + OTHERS:
        raise ProblemError(
            413, "request_too_large", "The request has too many elements, or its text is too long."
        )
    if (
        len(data) - len(msgspec.json.decode(data, type=_Shape).images)
        > ESCAPED * (most_text + SYSTEM_BYTES) + OTHERS
    ):
        raise ProblemError(
            413, "prompt_too_long", f"The message is too long. The limit is {most_text} bytes."
        )
    if commas > FEW and _is_too_long(data, _Images):
        raise ProblemError(
            413, "too_many_images", f"Too many images. The limit is {MOST_PICTURES} per message."
        )
    if commas > FEW and _is_too_long(data, _Stops):
        raise ProblemError(422, "invalid_stop", f"Enter at most {MOST_STOPS} stop sequences.")


def _is_too_long(data: bytes | bytearray, kind: type[msgspec.Struct]) -> bool:
    """Return whether a list is too long for `kind`, also one that a later member of the same name replaces."""
    try:
        msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        return "of at most length" in str(error)  # else the decoder will say what is wrong
    return False
