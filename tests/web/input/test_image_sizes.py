"""The size of images in pixels, from their headers alone."""

from __future__ import annotations

import base64
import io
from contextlib import suppress
from typing import Any

import pytest
from PIL import Image

from app.web.input.checked_images import checked_image
from app.web.input.image_sizes import MOST_FRAMES, MOST_PIXELS, Pixels, pixels
from app.web.problems import ProblemError
from tests.support.cost import measured
from tests.support.pictures import (
    JPEG_END,
    JPEG_SCAN,
    JPEG_START,
    PNG_START,
    gif,
    gif_picture,
    gif_start,
    jpeg,
    jpeg_frame,
    png,
    png_chunk,
    png_header,
    webp,
)
from tests.support.request_images import sent_images
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
    "PNG, fewer frames later": png(100, 100, MOST_FRAMES + 1)[:-25] + png_chunk(b"acTL", bytes(8)),
    "JPEG": jpeg(30_000, 30_000),
    "JPEG, late": jpeg(65_535, 65_535, b"\xff\xfe\x00\x02" * 100 + b"\xff" * 100),
    "GIF": gif(30_000, 30_000),
    "GIF, frames": gif(10, 10, MOST_FRAMES + 1),
    "GIF, large frames": gif(7000, 7000, 11),
    "GIF, second picture": gif_start(1, 1) + gif_picture(1, 1) + gif_picture(30_000, 30_000),
    "GIF, behind a byte too many": gif_start(1, 1) + gif_picture(1, 1) + b"\0" + gif_picture(30_000, 30_000),
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


WITHOUT_SIZE = {
    "PNG": PNG_START + b"png",
    "PNG, late": PNG_START + png_chunk(b"tEXt", b"a\0b") + png(13_000, 13_000)[8:],
    "PNG, twice": PNG_START + png_header(1, 1) + png(13_000, 13_000)[8:],
    "PNG, nothing to see": png(0, 1),
    "JPEG": b"\xff\xd8\xff",
    "JPEG, after its end": JPEG_START + JPEG_END + jpeg_frame(13_000, 13_000),
    "JPEG, after its data": JPEG_START + JPEG_SCAN + jpeg_frame(13_000, 13_000),
    "JPEG, twice": jpeg(1, 1, jpeg_frame(13_000, 13_000)),
    "GIF": b"GIF89a",
    "GIF, no picture": gif(frames=0),
    "WEBP": b"RIFF\0\0\0\0WEBPVP8 ",
    "WEBP, other chunks": b"RIFF\0\0\0\0WEBP" + b"XXXX" + bytes(4),
}


@pytest.mark.parametrize("kind", WITHOUT_SIZE)
def test_what_has_no_size_is_refused(kind: str) -> None:
    """So is what has two, or one where it does not belong: some decoders show it all the same."""
    with pytest.raises(ProblemError) as refused:
        checked_image(WITHOUT_SIZE[kind])
    assert (refused.value.status, refused.value.code) == (422, "unknown_image")


@pytest.mark.parametrize("data", [png(), jpeg(), gif(), webp()])
def test_what_is_cut_off_has_its_size(data: bytes) -> None:
    """Only headers count: a picture that was not received to its end is an image."""
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
    data = png() + bytes(700_000)
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
