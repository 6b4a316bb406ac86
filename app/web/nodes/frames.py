"""Splits an event stream of another node into its frames. What is in them is passed on as it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

END = b"\n\n"
MOST_BYTES = 4 * 1024 * 1024  # of a frame; a block of an answer is far smaller


class Content(Protocol):
    """The body of a response."""

    async def readany(self) -> bytes:
        """Return what has arrived; empty at the end."""
        ...


class Frame(NamedTuple):
    """One event, or a comment or a field by itself, whose `event` is empty."""

    event: str
    cursor: str  # of its id, such as `12-7`; "" if it has none
    data: bytes  # all of it, with the empty line at its end


async def frames(content: Content) -> AsyncGenerator[Frame, None]:
    """Yield each whole frame. Raises `ValueError` for one that is too long, and what reading raises."""
    rest = bytearray()
    while data := await content.readany():
        begin = max(0, len(rest) - 1)  # its end may have been cut in two
        rest += data
        while (end := rest.find(END, begin)) >= 0:
            yield frame(bytes(rest[: end + len(END)]))
            del rest[: end + len(END)]
            begin = 0
        if len(rest) > MOST_BYTES:
            raise ValueError("a frame of another node is too long")


def frame(data: bytes) -> Frame:
    """Return a frame with its name and cursor."""
    event = cursor = ""
    for line in data.split(b"\n"):
        name, _, value = line.partition(b": ")
        if name == b"event":
            event = value.decode()
        elif name == b"id":
            cursor = value.decode().rpartition("/")[2]
        elif name == b"data":
            break
    return Frame(event, cursor, data)
