"""How many pixels an image has, as its header says: 106 KB of PNG may be 900 million of them.

Whoever decodes an image, a browser or a model server, allocates four bytes for each pixel. So the pixels are bounded
before an image is passed on. Only headers are read: nothing is decoded here. Decoders differ in the mistakes that they
forgive, so headers of which one decoder may take this size and another that have none.

Sources: PNG (third edition), sections 11.2.1 and 11.3.6 (acTL, fcTL); GIF89a, sections 18 to 23; JPEG (ITU-T T.81),
annex B.2; WebP container (RFC 9649), section 2.7.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

MOST_PIXELS = 50_000_000  # of one picture: 200 MB decoded
MOST_FRAMES = 1_000  # of an animation
MOST_FRAME_PIXELS = 500_000_000  # of all pictures of an animation together
MOST_STEPS = 2_000  # parts of a file that are looked at
BLOCK = 100  # bytes of a GIF for each of its data sub-blocks, at least; encoders fill 255


class TooManyParts(Exception):
    """The file has more parts than an image needs, so its size was not found."""


class Pixels(NamedTuple):
    """The size of an image in pixels, and how many pictures it shows one after another."""

    width: int
    height: int
    frames: int = 1

    @property
    def is_too_large(self) -> bool:
        """Whether decoding it would take too much memory."""
        area = self.width * self.height
        return area > MOST_PIXELS or self.frames > MOST_FRAMES or area * self.frames > MOST_FRAME_PIXELS


def pixels(data: bytes, media_type: str) -> Pixels | None:
    """Return the size of an image; `None` if its headers have none, or more than one. Raises `TooManyParts`."""
    try:
        size = _READERS[media_type](data)
    except (struct.error, IndexError):
        return None
    return size if size is not None and size.width and size.height else None


def _png(data: bytes) -> Pixels | None:
    width = height = 0
    frames = 1
    for number, (kind, begin, _) in enumerate(_chunks(data, 8, ">I4s", 4)):
        if (kind == b"IHDR") != (number == 0):
            return None  # it is the first chunk, and only that; some decoders take any
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", data, begin)
        if kind == b"acTL":
            frames = max(frames, *struct.unpack_from(">I", data, begin))
        if kind == b"IDAT":
            break
    return Pixels(width, height, frames)


def _chunks(data: bytes, begin: int, header: str, after: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, begin and length of each chunk. A PNG has a checksum `after` each."""
    for _ in range(MOST_STEPS):
        if begin + 8 > len(data):
            return
        one, other = struct.unpack_from(header, data, begin)
        kind, length = (one, other) if isinstance(one, bytes) else (other, one)
        yield kind, begin + 8, length
        begin += 8 + length + after
        begin += length % 2 if not after else 0  # WebP pads chunks to an even length
    raise TooManyParts


_PART = re.compile(rb"[,!;]")  # what begins one; some decoders skip other bytes before it


def _gif(data: bytes) -> Pixels | None:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    begin = 13 + _colors(flags)
    frames, blocks = 0, MOST_STEPS + len(data) // BLOCK
    for _ in range(2 * MOST_STEPS):
        found = _PART.search(data, begin)
        if found is None or found[0] == b";":
            break
        begin = found.start()
        if found[0] == b",":
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, begin + 1)
            # Decoders enlarge the canvas to a first picture that is larger.
            width, height = max(width, left + wide), max(height, top + high)
            frames += 1
            if frames > MOST_FRAMES:
                break
            begin, blocks = _after_blocks(data, begin + 10 + _colors(flags) + 1, blocks)
        else:
            begin, blocks = _after_blocks(data, begin + 2, blocks)
    else:
        raise TooManyParts
    return Pixels(width, height, frames) if frames else None


def _colors(flags: int) -> int:
    """Return the length of a color table in bytes."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, begin: int, most: int) -> tuple[int, int]:
    """Return where the data sub-blocks that begin here end, and how many of `most` are left."""
    while begin < len(data) and data[begin]:
        begin += 1 + data[begin]
        most -= 1
        if most < 0:
            raise TooManyParts
    return begin + 1, most


_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)  # after any number of fill bytes
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_SCAN, _END = 0xDA, 0xD9


def _jpeg(data: bytes) -> Pixels | None:
    size: Pixels | None = None
    begin = 2
    for _ in range(MOST_STEPS):
        found = _MARKER.search(data, begin)
        if found is None or found[1][0] in (_SCAN, _END):
            return size
        marker, begin = found[1][0], found.end()
        if marker in _SIZES:
            if size is not None:
                return None
            height, width = struct.unpack_from(">HH", data, begin + 3)
            size = Pixels(width, height)
        if marker not in _WITHOUT_LENGTH:
            (length,) = struct.unpack_from(">H", data, begin)
            begin += length
    raise TooManyParts


def _webp(data: bytes) -> Pixels | None:
    found: Pixels | None = None
    frames = 0
    for kind, begin, _ in _chunks(data, 12, "<4sI", 0):
        if kind == b"ANMF":
            frames += 1
            if frames > MOST_FRAMES:
                break
        size = _webp_size(data, kind, begin)
        if size is not None and (found is None or size[0] * size[1] > found.width * found.height):
            found = Pixels(*size)
    return found and found._replace(frames=max(1, frames))


def _webp_size(data: bytes, kind: bytes, begin: int) -> tuple[int, int] | None:
    if kind == b"VP8X":
        return _three_bytes(data, begin + 4) + 1, _three_bytes(data, begin + 7) + 1
    if kind == b"ANMF":
        return _three_bytes(data, begin + 6) + 1, _three_bytes(data, begin + 9) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, begin + 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, begin + 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _three_bytes(data: bytes, begin: int) -> int:
    return data[begin] | data[begin + 1] << 8 | data[begin + 2] << 16


_READERS: dict[str, Callable[[bytes], Pixels | None]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/gif": _gif,
    "image/webp": _webp,
}
