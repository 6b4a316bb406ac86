"""Checks an image before it is stored or passed on: its kind, and its size in pixels."""

from __future__ import annotations

from app.web.input.image_sizes import (
    MOST_FRAME_PIXELS,
    MOST_FRAMES,
    MOST_PIXELS,
    Pixels,
    TooManyParts,
    pixels,
)
from app.web.input.image_types import media_type
from app.web.problems import ProblemError


def checked_image(data: bytes) -> str:
    """Return the media type of an image. Raises a 422 if it is not supported, or too large to be shown."""
    kind = media_type(data)
    if kind is None:
        raise ProblemError(422, "unknown_image", "Only PNG, JPEG, WebP and GIF images are supported.")
    try:
        size = pixels(data, kind)
    except TooManyParts as error:
        raise ProblemError(422, "unknown_image", "This image has too many parts to be read.") from error
    if size is None:
        raise ProblemError(422, "unknown_image", "This image is damaged: it doesn't say how large it is.")
    if size.is_too_large:
        raise ProblemError(422, "image_has_too_many_pixels", _too_large(size))
    return kind


def _too_large(size: Pixels) -> str:
    frames = f", {size.frames} frames" if size.frames > 1 else ""
    return (
        f"This image is too large ({size.width} by {size.height} pixels{frames}). The limit is "
        f"{MOST_PIXELS // 10**6} million pixels; for animations {MOST_FRAMES:,} frames and "
        f"{MOST_FRAME_PIXELS // 10**6} million pixels in all of them."
    )
