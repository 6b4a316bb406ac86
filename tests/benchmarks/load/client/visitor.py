"""A visitor with one connection that is kept alive: one request after the other, as a browser sends them."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple, Self, cast

from tests.benchmarks.load.client.answer import PATIENCE
from tests.benchmarks.load.servers.target import Target

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_END = b"\r\n0\r\n\r\n"  # the last chunk of a chunked body


class Reply(NamedTuple):
    """A whole response. The body of one without a length is left chunked."""

    status: int
    head: bytes
    body: bytes


class Visitor(asyncio.Protocol):
    """One connection. Requests must not overlap."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ends = 0  # the length of head and body, once known
        self._body = 0  # where the body begins, once known
        self._reply: asyncio.Future[Reply] | None = None
        self._gone = False

    def __repr__(self) -> str:
        return f"<Visitor {'gone' if self._gone else 'connected'}>"

    @classmethod
    async def come(cls, target: Target) -> Self:
        """Connect."""
        _, visitor = await asyncio.get_running_loop().create_connection(cls, *target.address)
        return visitor

    def leave(self) -> None:
        """Close the connection."""
        self._transport.abort()

    async def ask(self, request: bytes) -> Reply:
        """Send a request and wait for its whole response. Raises `ConnectionError`, `TimeoutError`."""
        if self._gone:
            raise ConnectionResetError("the server closed the connection")
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._reply = reply
        self._transport.write(request)
        async with asyncio.timeout(PATIENCE):
            return await reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._body and not self._find_body():
            return
        if len(self._buffer) >= self._ends if self._ends else self._buffer.endswith(_END):
            self._finish()

    def connection_lost(self, error: Exception | None) -> None:
        self._gone = True
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error or ConnectionResetError("the server closed the connection"))

    def _find_body(self) -> bool:
        blank = self._buffer.find(b"\r\n\r\n")
        if blank < 0:
            return False
        self._body = blank + 4
        length = _LENGTH.search(self._buffer, 0, self._body)
        if length is not None or self._buffer.startswith(b"HTTP/1.1 204"):
            self._ends = self._body + (int(length[1]) if length else 0)
        return True

    def _finish(self) -> None:
        head, body = bytes(self._buffer[: self._body]), bytes(self._buffer[self._body :])
        self._buffer.clear()
        self._body = self._ends = 0
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(Reply(int(head.split(b" ", 2)[1]), head, body))
