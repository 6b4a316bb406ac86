"""The contents of a message other than text: images, and the problem that ended an answer."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """An error: a stable code and a message for the user."""

    code: str
    message: str


class Image(msgspec.Struct, frozen=True):
    """An image of a prompt, without its bytes."""

    image_id: str
    media_type: str
    size: int  # bytes
