"""A viewer on a bare socket, which reads as slowly as a test wants: nothing reads ahead for it."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, Self
from urllib.parse import urlsplit

LAST_CHUNK = b"\r\n0\r\n\r\n"  # of a chunked body, with the end of the one before
ROOM = 4096  # bytes that the kernel may hold for it


class RawViewer:
    """Asks for events and then reads only when told to."""

    def __init__(self, url: str, path: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: text/event-stream\r\n\r\n"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.received = bytearray()
        self.over = False  # the server has closed the connection, in order or not

    async def __aenter__(self) -> Self:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        self._socket.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, self._address)
        await loop.sock_sendall(self._socket, self._request.encode())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def read(self, most: int) -> int:
        """Read some bytes, `most` at most; return how many came. None mean that the connection is closed."""
        try:
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._socket, most), 20)
        except ConnectionError:
            data = b""
        self.over = not data
        self.received += data
        return len(data)

    async def read_to_the_end(self) -> None:
        """Read as fast as it goes until the response is complete or the connection is closed."""
        while not self.received.endswith(LAST_CHUNK) and await self.read(65_536):
            pass

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and data of every complete event so far."""
        text = _unchunked(bytes(self.received)).decode()
        found = []
        for frame in text.split("\n\n")[:-1]:
            fields = dict(
                line.split(": ", 1) for line in frame.splitlines() if ": " in line and line[0] != ":"
            )
            if "data" in fields:
                found.append((fields["event"], json.loads(fields["data"])))
        return found


def _unchunked(received: bytes) -> bytes:
    """Return the body of a chunked response, as far as it is complete (RFC 9112, section 7.1)."""
    _, _, rest = received.partition(b"\r\n\r\n")
    body, position = bytearray(), 0
    while (line_end := rest.find(b"\r\n", position)) >= 0:
        size = int(rest[position:line_end], 16)
        if line_end + 2 + size > len(rest):
            break
        body += rest[line_end + 2 : line_end + 2 + size]
        position = line_end + 2 + size + 2
    return bytes(body)
