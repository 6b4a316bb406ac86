"""Images of prompts: their types and size limits, and the handler that serves them."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from app.chat.ports import ImageData
from app.web.app_keys import HISTORY, LIMITS, OWNER
from app.web.input import bodies
from app.web.input.checked_images import checked_image
from app.web.input.stream_request import ImageUpload
from app.web.problems import ProblemError
from app.web.rules import MOST_PICTURES

# A browser may cache an image but must revalidate it: after sign-out it must not be shown.
CACHING = {"Cache-Control": "private, no-cache"}


async def images_of(request: web.Request, images: Sequence[ImageUpload]) -> Sequence[ImageData]:
    """Return the images of a prompt. Images sent before are loaded from the history.

    Raises a 413 or a 422 with the reason, `ImageNotFound`, `HistoryUnavailable`.
    """
    if len(images) > MOST_PICTURES:
        raise ProblemError(
            413, "too_many_images", f"Too many images. The limit is {MOST_PICTURES} per message."
        )
    new = [ImageData(checked_image(image.data), image.data) for image in images if image.data is not None]
    named = {image.image_id for image in images if image.image_id is not None}
    history, owner = request.app[HISTORY], request[OWNER]
    sizes = await history.image_sizes(owner, named) if named else {}
    size = sum(len(picture.data) for picture in new)
    size += sum(sizes[image.image_id] for image in images if image.image_id is not None)
    limit = request.app[LIMITS].max_image_bytes
    if size > limit:
        raise ProblemError(
            413, "images_too_large", f"The images are too large ({size} bytes). The limit is {limit} bytes."
        )
    # Loaded only now, and each only once, however often it is named.
    known = {image_id: await history.image(owner, image_id) for image_id in named}
    uploads = iter(new)
    return [next(uploads) if image.image_id is None else known[image.image_id] for image in images]


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
