"""What a message carries beside its text: images, and the problem that ended an answer."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """What went wrong: a stable code and a message for the user."""

    code: str
    message: str


class Image(msgspec.Struct, frozen=True):
    """An image that came with a prompt, without its bytes."""

    image_id: str
    media_type: str
    size: int  # bytes
