"""Images of requests to a backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.chat.contents import Image
from app.chat.ports import ImageData, Request

PNG = b"\x89PNG"
PICTURE = Image("picture", "image/png", len(PNG))


def load_of(data: bytes = PNG) -> Callable[[str], Awaitable[ImageData]]:
    """For `Request.load`: each image has these bytes."""

    async def load(_image_id: str) -> ImageData:
        return ImageData("image/png", data)

    return load


async def sent_images(request: Request) -> list[ImageData]:
    """The images of the first message."""
    return [await request.load(picture.image_id) for picture in request.messages[0].pictures]
