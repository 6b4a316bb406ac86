"""The size of images in pixels, from their headers alone."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from contextlib import suppress
from typing import Any

import pytest
from PIL import Image

from app.web.input.checked_images import checked_image
from app.web.input.image_sizes import MOST_FRAMES, MOST_PIXELS, Pixels, pixels
from app.web.problems import ProblemError
from tests.support.cost import measured
from tests.support.pictures import sent_images
from tests.web.stage import Stage, problem

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}


def image(kind: str, width: int, height: int, **how: Any) -> bytes:
    """An image as a common encoder writes it."""
    made = io.BytesIO()
    Image.new("RGB", (width, height)).save(made, kind, **how)
    return made.getvalue()


def animation(kind: str, frames: int) -> bytes:
    """Pictures that follow one another."""
    made = io.BytesIO()
    first, *more = [
        Image.new("RGB", (40, 30), (number * 20, 255 - number * 20, 0)) for number in range(frames)
    ]
    first.save(made, kind, save_all=True, append_images=more)
    return made.getvalue()


def png(width: int, height: int, frames: int = 0) -> bytes:
    """A header that claims this size, and hardly any data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    animated = chunk(b"acTL", struct.pack(">II", frames, 0)) if frames else b""
    return b"\x89PNG\r\n\x1a\n" + header + animated + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


def gif(width: int, height: int, frames: int = 1) -> bytes:
    """A canvas of this size with tiny pictures."""
    picture = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + picture * frames + b";"


def jpeg(width: int, height: int, before: bytes = b"") -> bytes:
    """A frame header of this size behind other segments."""
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 8, 8, height, width, 0)
    return b"\xff\xd8" + before + frame


def webp(width: int, height: int, frames: int = 0) -> bytes:
    """An extended header with a canvas of this size."""

    def three(value: int) -> bytes:
        return struct.pack("<I", value)[:3]

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    canvas = chunk(b"VP8X", b"\x02\0\0\0" + three(width - 1) + three(height - 1))
    frame = chunk(b"ANMF", bytes(6) + three(0) + three(0) + bytes(5))
    data = b"WEBP" + canvas + frame * frames
    return b"RIFF" + struct.pack("<I", len(data)) + data


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 300), (641, 480)])
def test_the_size_is_that_of_a_decoder(kind: str, width: int, height: int) -> None:
    """For what encoders write, in each of their variants."""
    variants: list[dict[str, Any]] = [{}]
    if kind == "WEBP":
        variants.append({"lossless": True})
    if kind == "JPEG":
        variants += [{"progressive": True}, {"exif": b"Exif\0\0" + bytes(60_000)}]
    for how in variants:
        assert pixels(image(kind, width, height, **how), FORMATS[kind]) == Pixels(width, height)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_the_pictures_of_an_animation_are_counted(kind: str) -> None:
    """As far as it shows any."""
    assert pixels(animation(kind, 12), FORMATS[kind]) == Pixels(40, 30, 12)


TOO_LARGE = {
    "PNG": png(30_000, 30_000),
    "PNG, wide": png(2**31 - 1, 1),
    "PNG, frames": png(100, 100, MOST_FRAMES + 1),
    "PNG, large frames": png(7000, 7000, 11),
    "JPEG": jpeg(30_000, 30_000),
    "JPEG, late": jpeg(65_535, 65_535, b"\xff\xfe\x00\x02" * 100 + b"\xff" * 100),
    "GIF": gif(30_000, 30_000),
    "GIF, frames": gif(10, 10, MOST_FRAMES + 1),
    "GIF, large frames": gif(7000, 7000, 11),
    "GIF, second picture": gif(1, 1)[:-1]
    + b","
    + struct.pack("<HHHHB", 0, 0, 30_000, 30_000, 0)
    + b"\x02\0;",
    "WEBP": webp(16_384, 16_384),
    "WEBP, frames": webp(10, 10, MOST_FRAMES + 1),
    "WEBP, large frames": webp(7000, 7000, 11),
}


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_too_many_pixels_are_refused(kind: str) -> None:
    """Whatever the number of bytes, with the limit in the sentence."""
    with pytest.raises(ProblemError) as refused:
        checked_image(TOO_LARGE[kind])
    assert (refused.value.status, refused.value.code) == (422, "image_has_too_many_pixels")
    assert str(MOST_PIXELS // 10**6) in refused.value.detail


HOSTILE = {
    "JPEG of fill bytes": b"\xff\xd8" + b"\xff" * 8_000_000,
    "JPEG of segments": b"\xff\xd8" + b"\xff\xfe\x00\x02" * 2_000_000,
    "JPEG of segments without length": b"\xff\xd8" + b"\xff\x01" * 4_000_000,
    "JPEG of zeros": b"\xff\xd8\xff" + bytes(8_000_000),
    "PNG of chunks": png(1, 1)[:33] + (bytes(4) + b"tEXt" + bytes(4)) * 600_000,
    "GIF of blocks": gif(1, 1)[:-1] + b"!\xfe" + b"\x01x" * 4_000_000,
    "GIF of extensions": gif(1, 1)[:-1] + b"!\xfe\x00" * 2_500_000,
    "WEBP of chunks": webp(1, 1) + (b"XXXX" + bytes(4)) * 1_000_000,
}


LONGEST = 0.25  # s of processor time


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_file_takes_long(kind: str) -> None:
    """Eight megabytes of nothing are looked at for a moment, then taken or refused."""

    def checked() -> None:
        with suppress(ProblemError):
            checked_image(HOSTILE[kind])

    took, _ = measured(checked, LONGEST)
    assert took <= LONGEST


def test_what_has_no_size_is_taken() -> None:
    """No decoder shows it, so it takes no memory."""
    for data in (b"\x89PNG\r\n\x1a\npng", b"\xff\xd8\xff\xe0jpeg", b"GIF89agif", b"RIFF\0\0\0\0WEBPVP8 "):
        checked_image(data)


async def test_a_prompt_with_such_an_image_is_refused(stage: Stage) -> None:
    """Before it reaches the model or the history."""
    data = base64.b64encode(png(30_000, 30_000) + bytes(106_000)).decode()
    body = {"prompt": "look", "images": [{"data": data}]}
    async with stage.http.post("/api/sessions/s1/streams", json=body) as response:
        await problem(response, 422, "image_has_too_many_pixels")
    assert (await stage.client.get("/api/sessions/s1"))["http"] == 404
    assert not stage.puppet.generations


async def test_an_image_that_is_named_often_is_loaded_once_or_not_at_all(stage: Stage) -> None:
    """Its size counts each time, and is known before its bytes are read."""
    data = b"\x89PNG\r\n\x1a\n" + bytes(700_000)
    sent = [{"data": base64.b64encode(data).decode()}]
    await stage.client.post("s1", "look", images=sent)
    (await stage.opened()).finish()
    await stage.settled()
    image_id = (await stage.client.get("/api/sessions/s1"))["messages"][0]["images"][0]["image_id"]
    body = {"prompt": "again", "images": [{"image_id": image_id}] * 32}
    async with stage.http.post("/api/sessions/s2/streams", json=body) as response:
        await problem(response, 413, "images_too_large")
    body["images"] = [{"image_id": image_id}] * 3
    async with stage.http.post("/api/sessions/s2/streams", json=body) as response:
        assert response.status == 201
    pictures = await sent_images((await stage.opened(2)).request)
    assert [picture.data for picture in pictures] == [data] * 3
    body["images"] = [{"image_id": image_id}, {"image_id": "gone"}]
    async with stage.http.post("/api/sessions/s3/streams", json=body) as response:
        await problem(response, 404, "image_not_found")
