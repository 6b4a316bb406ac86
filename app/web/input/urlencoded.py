"""Parses `application/x-www-form-urlencoded` (WHATWG URL, section 5.1), bounded in fields and memory."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

MOST_FIELDS = 128
LONGEST = 3  # bytes of a form per byte of its texts, if each is escaped
PIECE = 64 * 1024  # bytes that are decoded at once: the decoder makes an object of every escape


def parse(data: bytes | bytearray) -> Iterator[tuple[str, str]]:
    """Yield names and values. Raises `ValueError` for too many fields or invalid UTF-8."""
    data = bytes(data.rstrip())
    if data.count(b"&") >= MOST_FIELDS:
        raise ValueError("too many fields")
    for pair in data.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            yield _text(name), _text(value)


def _text(encoded: bytes) -> str:
    return b"".join(_decoded(encoded.replace(b"+", b" "))).decode()


def _decoded(encoded: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(encoded):
        end = start + PIECE
        cut = encoded.rfind(b"%", end - 2, end)  # an escape is not divided
        end = cut if cut > start and end < len(encoded) else end
        yield unquote_to_bytes(encoded[start:end])
        start = end
