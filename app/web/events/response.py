"""The responses that carry events: SSE, based on aiohttp-sse without its ping task, and NDJSON."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import msgspec
from aiohttp import HttpVersion11, hdrs
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web import BaseRequest, StreamResponse
from aiohttp_sse import EventSourceResponse
from multidict import istr

from app.web.events import encoders
from app.web.http import accept

# Proxies must not store, transform or buffer the stream.
HEADERS: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store, no-transform", istr("X-Accel-Buffering"): "no"}

# The range of the reconnection delay after a shutdown: random, so that clients do not all reconnect at once.
EARLIEST_MS, LATEST_MS = 1000, 5000


class EventStream(EventSourceResponse):
    """`text/event-stream`. Sends the retry time and a comment immediately, so that the client sees an open stream.

    aiohttp-sse starts a ping task per response and sets its own headers after the caller's. Here one timer serves
    all responses, frames arrive encoded, and our headers win.
    """

    media_type = accept.EVENTS
    preamble = encoders.PREAMBLE
    opening = b""  # the first events, sent together with the headers
    _send_headers_immediately = False  # in aiohttp: wait for the first write

    def __init__(self, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status=status, headers=headers)
        self.headers.update(HEADERS)
        del self.headers["Connection"]

    @staticmethod
    def passing(name: str, data: msgspec.Struct) -> bytes:
        """Return an event without state, which does not move the cursor."""
        return encoders.passing(name, data)

    @staticmethod
    def farewell() -> bytes:
        """Return the final bytes at shutdown: a random reconnection delay for each client."""
        return encoders.retry(EARLIEST_MS + secrets.randbelow(LATEST_MS - EARLIEST_MS))

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers and the preamble. Starts no ping task."""
        begins = not self.prepared  # aiohttp calls this again when the handler returns
        writer = await StreamResponse.prepare(self, request)
        if begins:
            await self.write(self.preamble + self.opening)
        return writer


class LineStream(StreamResponse):
    """`application/x-ndjson`: the same events, one JSON object per line."""

    media_type = accept.LINES
    opening = b""  # see `EventStream`
    _send_headers_immediately = False

    def __init__(self, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status=status, headers={**(headers or {}), **HEADERS})
        self.content_type = "application/x-ndjson"

    @staticmethod
    def passing(name: str, data: msgspec.Struct) -> bytes:
        """Return an event without state."""
        return encoders.ndjson_line(name, msgspec.json.encode(data))

    @staticmethod
    def farewell() -> bytes:
        """Return nothing: NDJSON has no reconnection time."""
        return b""

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers immediately, with the first events if there are any."""
        begins = not self.prepared
        writer = await super().prepare(request)
        if begins and writer is not None:
            if self.opening:
                await self.write(self.opening)
            else:
                writer.send_headers()
        return writer


def is_chunked(request: BaseRequest) -> bool:
    """Return whether a response without a length is chunked (HTTP/1.1); otherwise the connection's end delimits it."""
    return request.version >= HttpVersion11


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a chunked body (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
