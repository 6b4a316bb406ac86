"""One connection: what is refused before it reaches the application, and how long the client may take.

aiohttp bounds the length of a line and the number of headers. Here the size of all headers is bounded, requests are
refused by their headers, the body of a refused request is not read, and a silent client is noticed. A scan once a
second calls `tick`; there are no timers per request. A connection leaves the scan while it is the server's turn, so
open event streams cost it nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo
from multidict import CIMultiDict, CIMultiDictProxy

from app.web.grants import AccessOver, Grant
from app.web.http.addresses import HEALTH
from app.web.http.discarding import discard
from app.web.http.incoming import BodyTooSlow, Incoming
from app.web.security import early_refusals, headers, malformed_requests
from app.web.security.admission import Admission
from app.web.security.early_refusals import Refusal

if TYPE_CHECKING:
    from app.web.security.runner import Server

PIECE = 4096  # bytes that the parser gets at once; the size of the headers is checked in between
MOST_HEAD = 16 * 1024  # bytes of request line and headers
MOST_WAITING = 16 * 1024  # bytes of requests that wait for the response to an earlier one
READ_BUFFER = 16 * 1024  # bytes of a body that nobody reads yet; twice as many pause the client

HEAD_SECONDS = 10.0  # from accepting the connection, or from the first byte of a later request
LINGER_SECONDS = 1.5  # after a refusal, for the client to read it before the connection is reset
RATE = 240  # bytes a second that a client has to send or take
BODY_GRACE = 5.0  # seconds before that
MOST_GRACE = 30.0  # seconds of silence that a client can earn by being faster
WRITE_GRACE = 30.0  # seconds in which a client has to take something of a response
STRANGER_WRITE_GRACE = 10.0

# Bytes that may frame a chunked body: a quarter of it, and this many. Tiny chunks cost far more than they carry.
MOST_FRAMING = 64 * 1024


class Connection(web.RequestHandler, Incoming):
    """A connection, and the state of its limits."""

    __slots__ = (
        "_admission",
        "_awaited",
        "_body",
        "_continues",
        "_counted",
        "_grace",
        "_head",
        "_is_refused",
        "_lingered",
        "_requests",
        "_unsent",
        "_waited",
        "_waiting",
        "_wire",
        "age",
        "is_known",
        "is_reserve",
        "key",
    )

    _manager: Server | None

    def __init__(self, manager: Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self.key = ""
        self.is_known = False
        self.is_reserve = False
        self.age = 0.0  # seconds without a request
        self._admission = Admission(self)
        self._awaited: StreamReader | None = None
        self._body: StreamReader = EMPTY_PAYLOAD  # of the request that arrived last
        self._continues: StreamReader | None = None  # a body that the client sends once it is told to
        self._head = 0  # bytes of an incomplete request
        self._waiting = 0  # bytes of complete ones that wait
        self._wire = -1  # bytes that came for a chunked body, -1 for none
        self._counted = 0  # bytes of the awaited body at the last tick
        self._grace = 0.0  # seconds that the client may still be silent
        self._unsent = 0  # bytes that the client had not taken at the last tick
        self._waited = 0.0  # seconds since the first byte of an incomplete request
        self._requests = 0  # that had arrived at the last tick
        self._lingered = -1.0  # seconds since a refusal; negative: none
        self._is_refused = False

    # ---- what arrives ----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`. Also called by aiohttp without data, to go on after a pause."""
        if len(data) <= PIECE:
            self._receive(data)
            return
        for start in range(0, len(data), PIECE):
            self._receive(data[start : start + PIECE])

    def _receive(self, data: bytes) -> None:
        if self._is_refused or self._force_close or self._close:
            return  # what follows is dropped
        count = self._request_count
        super().data_received(data)
        if self._request_count != count:
            self._arrived(self._request_count - count, len(data))
        elif self._body.is_eof():
            self._head += len(data)
            if self._head > MOST_HEAD:
                self._answer(len(self._messages), early_refusals.LONG_HEAD.info)
        elif self._wire >= 0:
            self._wire += len(data)
            if self._wire > self._body.total_bytes * 5 // 4 + MOST_FRAMING:
                self._body.set_exception(web.RequestPayloadError("framing"))
                self._is_refused = True

    def _arrived(self, new: int, size: int) -> None:
        """Check the requests that just arrived, in `size` bytes."""
        self._head = 0
        messages = self._messages
        for place in range(max(len(messages) - new, 0), len(messages)):
            message, payload = messages[place]
            if isinstance(message, _ErrInfo):
                self._broken(place, message)
                return
            refusal = self._refusal(message)
            if refusal is not None:
                self._answer(place, refusal.info)
                return
            if hdrs.EXPECT in message.headers:
                messages[place] = (self._unexpecting(message, payload), payload)
        if not messages:
            return
        message, self._body = messages[-1]
        self._wire = 0 if getattr(message, "chunked", False) else -1
        self._waiting = self._waiting + size if len(messages) > 1 else 0
        if self._waiting > MOST_WAITING or getattr(message, "upgrade", False):
            super().close()  # after the response; what follows an upgrade that is declined may be anything

    def _refusal(self, message: RawRequestMessage) -> Refusal | None:
        if self.is_reserve and not message.path.endswith(HEALTH):
            return early_refusals.FULL
        return early_refusals.refusal_of(message)

    def _broken(self, place: int, error: _ErrInfo) -> None:
        """What arrived is not HTTP. If it is in the body of a request, its reader is told; else it is answered."""
        if self._body.is_eof():
            self._answer(place, error)
        else:
            self._body.set_exception(web.RequestPayloadError("not HTTP"))
            self._drop_from(place)

    def _answer(self, place: int, error: _ErrInfo) -> None:
        """Let the request in this place be answered with an error, and nothing after it."""
        self._drop_from(place)
        self._body = StreamReader(self, READ_BUFFER, loop=self._loop)  # stands for the rest, which has no end
        self._messages.append((error, self._body))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _drop_from(self, place: int) -> None:
        while len(self._messages) > place:
            self._messages.pop()
        self._is_refused = True

    def _unexpecting(self, message: RawRequestMessage, payload: StreamReader) -> RawRequestMessage:
        """Return the message without `Expect`: aiohttp would send the `100` before the request is let in."""
        if message.version >= HttpVersion11:
            self._continues = payload
        kept = CIMultiDict(message.headers)
        del kept[hdrs.EXPECT]
        return message._replace(headers=CIMultiDictProxy(kept))

    # ---- for whoever reads a body ----------------------------------------------------------------------------

    def begin_body(self, body: StreamReader) -> None:
        """See `Incoming`."""
        if self._continues is body:
            self._continues = None
            if not body.total_bytes and self.transport is not None:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._grace = BODY_GRACE

    def wait_for(self, body: StreamReader | None) -> None:
        """See `Incoming`."""
        self._awaited = body
        if body is not None:
            self._watch()

    def let_in(self, grant: Grant) -> None:
        """See `Incoming`."""
        if not self.is_known and self._manager is not None:
            self._manager.members.know(self)
        if self.transport is not None and self._current_request is not None:
            self._admission.enter(grant, self._current_request, self.transport)

    def let_in_peer(self) -> None:
        """See `Incoming`."""
        if self._manager is not None:
            self._manager.members.vouch(self)

    def withdraw(self, request: web.BaseRequest, transport: asyncio.Transport) -> None:
        """See `Withdrawable`."""
        is_current = self._current_request is request
        if is_current and self._awaited is not None:
            self._awaited.set_exception(AccessOver())
        elif (
            is_current
            or transport.get_write_buffer_size()
            or (self._request_in_progress and self._current_request is None)
        ):
            discard(transport)
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""
        self._admission.leave()
        super().connection_lost(exc)

    # ---- responses -------------------------------------------------------------------------------------------

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Any:
        """See aiohttp. If a part of the body is outstanding, the connection ends with the response."""
        is_last = self.is_reserve or self._close or not request.content.is_eof()
        if is_last and isinstance(resp, web.StreamResponse):
            resp.force_close()
        self._counted, self._unsent = 0, 0
        self._watch()
        return super().finish_response(request, resp, start_time)

    def force_close(self) -> None:
        """See aiohttp. What the client has not taken yet may take time."""
        self._watch()
        super().force_close()

    def close(self) -> None:
        """See aiohttp, which calls this after a response if a part of the body is outstanding.

        Closing a socket that holds unread data resets the connection, and the client may lose the response. So only
        our side is closed, and what arrives is dropped until `LINGER_SECONDS` have passed (RFC 9112, section 9.6).
        """
        super().close()
        transport = self.transport
        if self._body.is_eof() or self._request_in_progress or transport is None or transport.is_closing():
            return
        self._force_close = True  # aiohttp leaves the transport alone, and drops what arrives
        self._lingered = 0.0
        transport.write_eof()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """See aiohttp, whose own response body quotes the request and the parser's message."""
        response = super().handle_error(request, status, exc, message)
        if isinstance(exc, Refusal):
            return early_refusals.respond(exc)
        if isinstance(exc, HttpProcessingError):
            return malformed_requests.respond(status, message or "")
        headers.harden(response)
        return response

    # ---- time ------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress."""
        return not self._request_in_progress and not self._messages

    def _watch(self) -> None:
        """It is the client's turn, or will be soon. A transport that closes is watched already, or lost."""
        transport = self.transport
        if transport is not None and not transport.is_closing() and self._manager is not None:
            self._manager.watch(self, transport)

    def tick(self, elapsed: float, transport: asyncio.Transport) -> bool:
        """Cut the connection if the client takes too long. `elapsed` is in seconds since the last tick.

        `transport` is the connection's, which aiohttp forgets when it closes it. Return whether the next tick is
        needed: not while a known client waits for its response.
        """
        if transport.is_closing():
            self._tick_response(elapsed, transport)
        elif self._lingered >= 0.0:
            self._lingered += elapsed
            if self._lingered > LINGER_SECONDS:
                self.cut()
        elif self.is_idle:
            self._tick_idle(elapsed)
        else:
            self.age = self._waited = 0.0
            self._requests = self._request_count
            if self._awaited is not None:
                self._tick_body(self._awaited, elapsed)
            elif self._current_request is None or not self.is_known:
                self._tick_response(elapsed, transport)
            else:
                return False
        return True

    def _tick_idle(self, elapsed: float) -> None:
        if self._requests != self._request_count:
            self._requests = self._request_count
            self.age = self._waited = 0.0
        self.age += elapsed
        if not self._head and self._request_count:
            self._waited = 0.0
            return  # aiohttp closes it when it has been idle for long enough
        self._waited += elapsed
        if self._waited > HEAD_SECONDS:
            if self._head and self.transport is not None:
                self.transport.write(early_refusals.raw(early_refusals.SLOW_HEAD))
                self.force_close()
            else:
                self.cut()

    def _tick_body(self, body: StreamReader, elapsed: float) -> None:
        gained, self._counted = body.total_bytes - self._counted, body.total_bytes
        self._grace = min(self._grace + gained / RATE, MOST_GRACE) - elapsed
        if self._grace < 0:
            body.set_exception(BodyTooSlow())

    def _tick_response(self, elapsed: float, transport: asyncio.Transport) -> None:
        unsent = transport.get_write_buffer_size()
        most = WRITE_GRACE if self.is_known else STRANGER_WRITE_GRACE
        if not self._unsent or not unsent:
            self._grace = most
        else:
            self._grace = min(self._grace + max(self._unsent - unsent, 0) / RATE, most) - elapsed
        self._unsent = unsent
        if self._grace < 0:
            transport.abort()
            self.force_close()

    def cut(self) -> None:
        """Close the connection at once, whatever has not been sent."""
        if self.transport is not None:
            self.transport.abort()
        self.force_close()
