"""A viewer on a bare socket: it reads when the test says so, sees the very bytes, and breaks off at any place."""

from __future__ import annotations

import asyncio
import socket
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from tests.support.sse import Event, events_in

ROOM = 4096  # bytes that the kernel may hold for a slow viewer
BOUND = 20  # s, for one read


class Frame(NamedTuple):
    """One SSE frame with an id, byte for byte."""

    id: bytes
    name: bytes
    data: bytes

    @property
    def seq(self) -> int:
        """The sequence number in its id."""
        return int(self.id.partition(b"-")[2])


class RawViewer:
    """One response. Nothing is read ahead: neither here nor, with little `room`, by the kernel.

    Use it as an async context manager; leaving the block breaks off.
    """

    def __init__(
        self, url: str, path: str, *, cursor: bytes | None = None, room: int = 0, version: str = "1.1"
    ) -> None:
        """`cursor` goes into `Last-Event-ID`. With `version` "1.0" the body comes as it is, without chunks."""
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        last = f"Last-Event-ID: {cursor.decode()}\r\n" if cursor else ""
        self._request = f"GET {path} HTTP/{version}\r\nHost: {parts.netloc}\r\n{last}\r\n"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._room = room
        self._coded = bytearray()  # received and not decoded yet
        self._at = 0  # offset of the next block in the body
        self.received = 0  # bytes
        self.head = b""
        self.body = bytearray()
        self.is_complete = False  # the last chunk has come (RFC 9112, section 7.1)
        self.over = False  # the server has closed the connection, in order or not

    async def __aenter__(self) -> Self:
        if self._room:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._room)
        self._socket.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, self._address)
        await loop.sock_sendall(self._socket, self._request.encode())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def read(self, most: int = 65_536) -> int:
        """Read some bytes, `most` at most; return how many came. None mean that the connection is closed."""
        try:
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._socket, most), BOUND)
        except ConnectionError:
            data = b""
        self.over = not data
        self.received += len(data)
        self._coded += data
        self._decode()
        return len(data)

    async def read_to_the_end(self) -> None:
        """Read as fast as it goes until the response is complete or the connection is closed."""
        while not self.is_complete and await self.read():
            pass

    async def status(self) -> int:
        """Return the status of the response, once its head has come."""
        while not self.head:
            assert await self.read(), "the connection was closed without a response"
        return int(self.head.split(b" ", 2)[1])

    async def block(self) -> bytes | None:
        """Return what comes up to the next empty line, `None` at the end of the response."""
        while (end := self.body.find(b"\n\n", self._at)) < 0:
            if self.is_complete:
                assert self._at == len(self.body), self.body[self._at :]
                return None
            assert await self.read(), "the connection was closed within the response"
        block = bytes(self.body[self._at : end])
        self._at = end + 2
        return block

    async def frame(self) -> Frame | None:
        """Return the next frame that carries an event with an id, `None` at the end of the response."""
        while (block := await self.block()) is not None:
            lines = block.split(b"\n")
            if len(lines) == 3 and lines[2].startswith(b"data: "):
                return Frame(*(line.partition(b": ")[2] for line in lines))
        return None

    @property
    def events(self) -> list[Event]:
        """Every complete event so far."""
        return events_in(bytes(self.body))

    def _decode(self) -> None:
        """Move what is complete of the head and of the chunks to its place."""
        if not self.head:
            head, mark, rest = bytes(self._coded).partition(b"\r\n\r\n")
            if not mark:
                return
            self.head, self._coded = head, bytearray(rest)
        if b"\r\ntransfer-encoding: chunked" not in self.head.lower():
            self.body += self._coded
            self._coded.clear()
            return
        position = 0
        while (line_end := self._coded.find(b"\r\n", position)) >= 0:
            begin, size = line_end + 2, int(self._coded[position:line_end], 16)
            if begin + size + 2 > len(self._coded):
                break
            self.body += self._coded[begin : begin + size]
            position = begin + size + 2
            self.is_complete = size == 0
        del self._coded[:position]
