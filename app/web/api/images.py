"""Images of prompts: their types and size limits, and the handler that serves them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from aiohttp import web

from app.chat.ports import ImageData
from app.web.app_keys import HISTORY, LIMITS, OWNER
from app.web.input import bodies
from app.web.input.stream_request import ImageUpload
from app.web.problems import ProblemError

MOST_PICTURES = 32  # per prompt
# The type is detected by the first bytes. File names and declared types are ignored.
KINDS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}
# A browser may cache an image but must revalidate it: after sign-out it must not be shown.
CACHING = {"Cache-Control": "private, no-cache"}


def media_type(data: bytes) -> str | None:
    """Return the media type of an image; `None` if it is not supported."""
    return next((kind for kind, start in KINDS.items() if start.match(data)), None)


async def images_of(request: web.Request, images: Sequence[ImageUpload]) -> Sequence[ImageData]:
    """Return the images of a prompt. Images sent before are loaded from the history.

    Raises a 413 or a 422 with the reason, `ImageNotFound`, `HistoryUnavailable`.
    """
    if len(images) > MOST_PICTURES:
        raise ProblemError(
            413, "too_many_images", f"Too many images. The limit is {MOST_PICTURES} per message."
        )
    files = [await _data(request, image) for image in images]
    return _checked(files, request.app[LIMITS].max_image_bytes)


async def _data(request: web.Request, image: ImageUpload) -> bytes:
    if image.data is not None:
        return image.data
    sent_before = await request.app[HISTORY].image(request[OWNER], image.image_id or "")
    return sent_before.data


def _checked(files: Iterable[bytes], limit: int) -> Sequence[ImageData]:
    pictures = []
    for data in files:
        kind = media_type(data)
        if kind is None:
            raise ProblemError(422, "unknown_image", "Only PNG, JPEG, WebP and GIF images are supported.")
        pictures.append(ImageData(kind, data))
    size = sum(len(picture.data) for picture in pictures)
    if size > limit:
        raise ProblemError(
            413, "images_too_large", f"The images are too large ({size} bytes). The limit is {limit} bytes."
        )
    return pictures


async def get_image(request: web.Request) -> web.StreamResponse:
    """GET /api/images/{image_id}: 304 if the client has it cached."""
    image_id = bodies.path_id(request, "image_id")
    picture = await request.app[HISTORY].image(request[OWNER], image_id)
    known = request.if_none_match or ()
    if any(tag.value in (image_id, "*") for tag in known):
        response = web.Response(status=304, headers=CACHING)
    else:
        response = web.Response(body=picture.data, content_type=picture.media_type, headers=CACHING)
    response.etag = image_id  # the image of an id never changes
    return response
