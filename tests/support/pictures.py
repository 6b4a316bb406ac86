"""Headers of images of any size, with hardly any data: what the server looks at, and no decoder would show."""

from __future__ import annotations

import struct
import zlib


def png(width: int = 1, height: int = 1, frames: int = 0) -> bytes:
    """A header that claims this size. Bytes that follow it are not looked at."""
    animated = png_chunk(b"acTL", struct.pack(">II", frames, 0)) if frames else b""
    header = PNG_START + png_header(width, height) + animated
    return header + png_chunk(b"IDAT", b"x") + png_chunk(b"IEND", b"")


PNG_START = b"\x89PNG\r\n\x1a\n"


def png_header(width: int, height: int) -> bytes:
    """The chunk with the size."""
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def png_chunk(name: bytes, data: bytes) -> bytes:
    """A chunk with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def gif(width: int = 1, height: int = 1, frames: int = 1) -> bytes:
    """A canvas of this size with tiny pictures."""
    return gif_start(width, height) + gif_picture(1, 1) * frames + b";"


def gif_start(width: int, height: int) -> bytes:
    """The canvas alone."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)


def gif_picture(width: int, height: int) -> bytes:
    """A picture that claims this size."""
    return b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00"


def jpeg(width: int = 1, height: int = 1, before: bytes = b"") -> bytes:
    """A frame header of this size behind other segments."""
    return JPEG_START + before + jpeg_frame(width, height)


JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_SCAN = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 63, 0)


def jpeg_frame(width: int, height: int) -> bytes:
    """The segment with the size."""
    return b"\xff\xc2" + struct.pack(">HBHHB", 8, 8, height, width, 0)


def webp(width: int = 1, height: int = 1, frames: int = 0) -> bytes:
    """An extended header with a canvas of this size."""
    canvas = _webp_chunk(b"VP8X", b"\x02\0\0\0" + _three(width - 1) + _three(height - 1))
    frame = _webp_chunk(b"ANMF", bytes(6) + _three(0) + _three(0) + bytes(5))
    data = b"WEBP" + canvas + frame * frames
    return b"RIFF" + struct.pack("<I", len(data)) + data


def _three(value: int) -> bytes:
    return struct.pack("<I", value)[:3]


def _webp_chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
