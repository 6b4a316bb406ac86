"""Bodies with images: each image is loaded when its turn comes, encoded as it is sent, and not kept."""

from __future__ import annotations

import asyncio
from binascii import b2a_base64
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from app.chat.contents import Image
from app.chat.ports import ChatMessage, ImageData

_MARK = b"\0"  # which JSON never contains: in its strings it is escaped
# Bytes of an image that are encoded at a time: a multiple of three, so that the pieces join.
PIECE = 48 * 1024


def place(before: str = "") -> msgspec.Raw:
    """Return the place of an image in a JSON body: a string that begins with `before` and goes on in base64."""
    return msgspec.Raw(msgspec.json.encode(before)[:-1] + _MARK + b'"')


class Pictured(NamedTuple):
    """A JSON body with places, the images for them in order, and how to load one by its id."""

    json: bytes
    images: Sequence[Image]
    load: Callable[[str], Awaitable[ImageData]]

    @classmethod
    def of(
        cls, json: bytes, messages: Sequence[ChatMessage], load: Callable[[str], Awaitable[ImageData]]
    ) -> bytes | Pictured:
        """Return the body of a request with these messages: as it is if they have no images."""
        images = [image for message in messages for image in message.pictures]
        return cls(json, images, load) if images else json


class Upload(Payload):
    """Sends a body with images. Each takes a place of `room` from the moment it is loaded until it is sent.

    So a server that does not read holds up the images for it, and they take no memory meanwhile.
    """

    def __init__(self, body: Pictured, room: asyncio.Semaphore) -> None:
        super().__init__(body)
        self._body = body
        self._room = room
        encoded = sum((image.size + 2) // 3 * 4 for image in body.images)
        self._size = len(body.json) - len(_MARK) * len(body.images) + encoded

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """See `Payload`. Nobody needs all of it at once."""
        raise NotImplementedError

    async def write(self, writer: AbstractStreamWriter) -> None:
        """See `Payload`. Raises what `Request.load` raises."""
        first, *others = self._body.json.split(_MARK)
        await writer.write(first)
        for image, text in zip(self._body.images, others, strict=True):
            async with self._room:
                await self._write_image(writer, image)
            await writer.write(text)

    async def _write_image(self, writer: AbstractStreamWriter, image: Image) -> None:
        data = (await self._body.load(image.image_id)).data
        for begin in range(0, len(data), PIECE):
            await writer.write(b2a_base64(data[begin : begin + PIECE], newline=False))
            await asyncio.sleep(0)  # a fast server must not hold up everybody else
