"""Sends bodies piece by piece: counted while they wait for the client, and cut when its access ends.

aiohttp writes a body to the transport at once, which then holds a copy of it until the client has read all. And it
holds a response as long as the connection lasts or until the next response is over, so bodies are let go here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from app.chat.quotas import is_limited
from app.tasks.timeouts import within
from app.web.app_keys import GRANT, OWNER, TURNS
from app.web.http.discarding import discard

LARGE = 64 * 1024  # bytes; a smaller body goes out at once
PIECE = 32 * 1024  # bytes that the transport gets at a time
STALL_SECONDS = 60.0  # that a client may take for a piece; then the connection is aborted


class Sending:
    """A body that is being sent. `Cuttable` on any connection: those of a parent of ours know no `Admission`."""

    def __init__(self, request: web.Request) -> None:
        self._transport = request.transport
        self._grant = request[GRANT]
        self._owner = request[OWNER]
        self._is_counted = is_limited(self._owner)
        self._unread = request.app[TURNS].unread

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Count `size` bytes as unread for the duration of the block, and cut the connection if the access ends."""
        if self._is_counted:
            self._unread.add(self._owner, size)
        self._grant.hold(self)
        try:
            yield
        finally:
            self._grant.release(self)
            if self._is_counted:
                self._unread.add(self._owner, -size)

    async def send(self, writer: AbstractStreamWriter | web.StreamResponse, data: bytes) -> None:
        """Write `data`, no faster than the client takes it. Raises `ConnectionError`, also if that is too slow."""
        view = memoryview(data)
        with self.holding(len(data)):
            for begin in range(0, len(data), PIECE):
                # A copy: the transport may hold the last pieces beyond the block, and a view would hold all of `data`.
                piece = bytes(view[begin : begin + PIECE])
                try:
                    await within(STALL_SECONDS, writer.write(piece))
                except TimeoutError as error:
                    self.abort()
                    raise ConnectionResetError("the client takes nothing") from error
                if self._is_counted:
                    self._unread.move(self._owner)

    def abort(self) -> None:
        """Close the connection, so that the client sees that something is missing."""
        if self._transport is not None:
            self._transport.abort()

    def cut(self) -> None:
        """See `Cuttable`."""
        if self._transport is not None:
            discard(self._transport)


class _Body(Payload):
    """The body of a response that is complete. It is empty once it was sent, and for `HEAD`; `size` stays."""

    def __init__(self, data: bytes | bytearray, request: web.Request) -> None:
        kept = b"" if request.method == hdrs.METH_HEAD else data
        super().__init__(kept, content_type="application/octet-stream")
        self._size = len(data)
        self._sending = Sending(request)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """See aiohttp."""
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """See aiohttp."""
        try:
            await self._sending.send(writer, self._value)
        finally:
            self._value = b""


def in_pieces(request: web.Request, response: web.StreamResponse) -> None:
    """Let a response that a handler has made be sent piece by piece, if it is large."""
    if not isinstance(response, web.Response) or response.prepared:
        return
    body = response.body
    if isinstance(body, bytes | bytearray) and len(body) > LARGE:
        response.body = _Body(body, request)
