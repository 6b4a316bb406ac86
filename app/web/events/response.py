"""The response that carries events: aiohttp-sse's, without its ping task and with our headers; and its NDJSON twin."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import msgspec
from aiohttp import HttpVersion11
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web import BaseRequest, StreamResponse
from aiohttp_sse import EventSourceResponse

from app.web.events import encoders
from app.web.http import accept

# A proxy must neither store nor change nor hold back what it passes on.
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}

# Between these a client of a server that ended comes back: not all of them in the same instant.
EARLIEST_MS, LATEST_MS = 1000, 5000


class EventStream(EventSourceResponse):
    """`text/event-stream`. Begins with the retry time and a comment, at once, so that the client sees it is open.

    aiohttp-sse starts a ping task for each response and sets its own headers after the caller's; here one shared
    timer beats for all, frames come encoded, and the headers are ours.
    """

    media_type = accept.EVENTS
    preamble = encoders.PREAMBLE

    def __init__(self, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status=status, headers=headers)
        self.headers.update(HEADERS)
        del self.headers["Connection"]

    @staticmethod
    def passing(name: str, data: msgspec.Struct) -> bytes:
        """Return an event that carries no state, and moves no cursor."""
        return encoders.passing(name, data)

    @staticmethod
    def farewell() -> bytes:
        """Return the last bytes of a server that ends: when to come back, another moment for each client."""
        return encoders.retry(EARLIEST_MS + secrets.randbelow(LATEST_MS - EARLIEST_MS))

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers and the preamble; no ping task is started."""
        begins = not self.prepared  # aiohttp prepares once more when the handler returns
        writer = await StreamResponse.prepare(self, request)
        if begins:
            await self.write(self.preamble)
        return writer


class LineStream(StreamResponse):
    """`application/x-ndjson`: the same events, one JSON object a line."""

    media_type = accept.LINES

    def __init__(self, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status=status, headers={**(headers or {}), **HEADERS})
        self.content_type = "application/x-ndjson"

    @staticmethod
    def passing(name: str, data: msgspec.Struct) -> bytes:
        """Return an event that carries no state."""
        return encoders.ndjson_line(name, msgspec.json.encode(data))

    @staticmethod
    def farewell() -> bytes:
        """Return nothing: a line cannot say when to come back."""
        return b""

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers at once."""
        begins = not self.prepared
        writer = await super().prepare(request)
        if begins and writer is not None:
            writer.send_headers()
        return writer


def is_chunked(request: BaseRequest) -> bool:
    """Tell whether a response without a length is chunked, as in HTTP/1.1, or ends with the connection."""
    return request.version >= HttpVersion11


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a chunked body (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
