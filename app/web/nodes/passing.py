"""Passes the response of an owner node back to the client: whole if its length is known, else piece by piece."""

from __future__ import annotations

import aiohttp
from aiohttp import hdrs, web

from app.cluster.ports import Lease
from app.web.app_keys import PULSE
from app.web.events.heartbeat import LOOK, HeartbeatTimer
from app.web.events.push import EventPush
from app.web.events.response import EventStream, chunk
from app.web.http import accept
from app.web.nodes.headers import of_response
from app.web.nodes.peers import BROKEN, lost
from app.web.nodes.sources import Source, Sources
from app.web.problems import CODE, CODE_HEADER

WHOLE_BYTES = (
    1024 * 1024
)  # up to this length a response is read before it is passed on, and can be asked for anew
EXPORT_SILENCE = 60.0  # s without a byte of what has no heartbeats, such as an export
EVENTS = (accept.EVENTS, accept.LINES)


class PassedResponse(EventPush):
    """A response that grows on another node. It ends as that one ends, and when the session moves to another node."""

    def __init__(self, source: Source, pulse: HeartbeatTimer) -> None:
        super().__init__(pulse)
        self._source = source
        self._type = source.upstream.content_type

    def __repr__(self) -> str:
        return f"<PassedResponse {self._source!r}>"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Pass everything on until the owner node ends the response or the client leaves.

        Raises `OwnerEventStreams` before the headers.
        """
        upstream = self._source.upstream
        headers = of_response(upstream.headers)
        headers.popall(hdrs.CONTENT_LENGTH, None)  # it goes on in chunks, like what has no length
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
        # A page without JavaScript that shows an answer in progress grows, too, and has no length.
        if self._type in EVENTS or (self._type == accept.HTML and upstream.content_length is None):
            return await self._serve(request, response)
        return await self._serve_counted(request, response)

    async def go_on(self, request: web.Request, response: EventStream) -> web.StreamResponse:
        """Pass everything on in a response that was begun here. Otherwise the same as `serve`."""
        return await self._serve(request, response)

    def cut(self) -> None:
        """See `Cuttable`."""
        super().cut()
        self._source.close()

    def beat(self) -> int:
        """Notice that the client is gone; see `EventPush`. The heartbeats are the owner node's."""
        if self._transport.is_closing():
            self._gone = True
            self._source.close()
        return LOOK

    async def _show(self) -> None:
        is_whole = False
        try:
            while not self._gone:
                data = await self._source.readany()
                if not data:
                    is_whole = True
                    break
                await self._pass(data)
        except BROKEN:
            pass  # the node is gone, the session has moved, or the client has left
        if not (is_whole or self._gone or self._type == accept.EVENTS):
            self.cut()  # so that the client sees that something is missing; a viewer of events resumes anyway

    async def _pass(self, data: bytes) -> None:
        if self._transport.is_closing():
            self._gone = True
            return
        self._transport.write(chunk(data) if self._chunked else data)
        await self._room()  # meanwhile nothing is read from the owner node, so it waits, too

    def _last_words(self) -> bytes:
        return EventStream.farewell() if self._type == accept.EVENTS else b""


async def pass_back(
    request: web.Request,
    upstream: aiohttp.ClientResponse,
    lease: Lease,
    sources: Sources,
    silence: float,
) -> web.StreamResponse:
    """Respond as the owner node did. Closes `upstream`.

    `silence` is how long an event stream or a short response may be silent, in seconds. Raises `Unreachable` if the
    node was lost before the client got anything of a short response, `Broken` if that may be its connection alone.
    """
    length = upstream.content_length
    is_short = length is not None and length <= WHOLE_BYTES
    if is_short or request.method == hdrs.METH_HEAD or upstream.status in (204, 304):
        return await _whole(request, upstream, lease, sources, silence)
    bound = silence if upstream.content_type in EVENTS else EXPORT_SILENCE
    with sources.reading(upstream, lease, bound) as source:
        return await PassedResponse(source, request.app[PULSE]).serve(request)


async def _whole(
    request: web.Request, upstream: aiohttp.ClientResponse, lease: Lease, sources: Sources, silence: float
) -> web.Response:
    body = bytearray()
    try:
        with sources.reading(upstream, lease, silence, is_short=True) as source:
            while data := await source.readany():
                body += data
    except BROKEN as error:
        raise lost(error) from error
    headers = of_response(upstream.headers)
    if request.method != hdrs.METH_HEAD:
        headers.popall(hdrs.CONTENT_LENGTH, None)
    response = web.Response(
        status=upstream.status, reason=upstream.reason, headers=headers, body=bytes(body) or None
    )
    if (code := upstream.headers.get(CODE_HEADER)) is not None:
        response[CODE] = code
    return response
