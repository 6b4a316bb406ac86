"""Events on a bare socket, as the very bytes that were sent: for viewers that break off at any place and come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

TEXTS = (b"token", b"reasoning")


class Frame(NamedTuple):
    """One SSE frame."""

    id: bytes
    name: bytes
    data: bytes

    @property
    def seq(self) -> int:
        """The sequence number in its id."""
        return int(self.id.partition(b"-")[2])


class Wire:
    """One response, read frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, status: int, head: bytes) -> None:
        self._reader = reader
        self._rest = b""
        self.status = status
        self.head = head

    async def frame(self) -> Frame | None:
        """Return the next frame that carries an event, `None` at the end of the response."""
        while True:
            block = await self.block()
            if block is None:
                return None
            lines = block.split(b"\n")
            if len(lines) == 3 and lines[2].startswith(b"data: "):
                named = (line.partition(b": ")[2] for line in lines)
                return Frame(*named)

    async def block(self) -> bytes | None:
        """Return what comes up to the next empty line, `None` at the end of the response."""
        while b"\n\n" not in self._rest:
            chunk = await self._chunk()
            if not chunk:
                assert not self._rest, self._rest
                return None
            self._rest += chunk
        block, _, self._rest = self._rest.partition(b"\n\n")
        return block

    async def _chunk(self) -> bytes:
        """Return the next chunk of the body (RFC 9112, section 7.1), nothing at its proper end."""
        size = int(await self._reader.readuntil(b"\r\n"), 16)
        return (await self._reader.readexactly(size + 2))[:-2]


@asynccontextmanager
async def wire(url: str, path: str, cursor: bytes | None = None) -> AsyncIterator[Wire]:
    """Ask for events, with a cursor as the header `Last-Event-ID`; leaving the block breaks off."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        last = b"Last-Event-ID: %b\r\n" % cursor if cursor else b""
        writer.write(b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (path.encode(), last))
        head = await reader.readuntil(b"\r\n\r\n")
        yield Wire(reader, int(head.split(b" ", 2)[1]), head)
    finally:
        writer.transport.abort()


def merged(frames: Iterable[Frame]) -> list[Frame]:
    """Return the frames with neighbouring texts as one, as a log may send them. They have to follow each other."""
    whole: list[Frame] = []
    for frame in frames:
        last = whole[-1] if whole else None
        if last is not None and last.name == frame.name and frame.name in TEXTS:
            whole[-1] = _joined(last, frame)
        else:
            whole.append(frame)
    return whole


def _joined(first: Frame, second: Frame) -> Frame:
    one, other = json.loads(first.data), json.loads(second.data)
    assert second.seq == first.seq + other["count"], (first, second)
    assert other["position"] == one["position"] + one["count"], (first, second)
    data = {**other, "position": one["position"], "count": one["count"] + other["count"]}
    data["text"] = one["text"] + other["text"]
    return Frame(second.id, first.name, _bytes(data))


def _bytes(data: object) -> bytes:
    """JSON as the server writes it."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
