"""One answer read over HTTP: opened by the first `read`, closed by its end, an error, or `abort`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp.client_proto import ResponseHandler

from app.backends.decoding.decoder import Decoder
from app.backends.errors.mapper import ErrorMapper
from app.backends.http.calls import Call, Refusal, Retry
from app.backends.http.client import BROKEN, MAX_ERROR_BODY, UpstreamClient, on_connection
from app.backends.http.continuation import Continuation
from app.chat.errors import UpstreamError
from app.chat.ports import Delta, Usage
from app.tasks.timeouts import within

ERROR_BODY_TIMEOUT = 5.0  # s
LINGER = 3.0  # s that a connection may stay open without data after the finish reason
CLOSE_TIMEOUT = 0.5  # s to wait for a refused request's connection to close before the next one is made


class HttpGeneration:
    """The `Generation` of every backend that speaks HTTP.

    `prepare` returns the request. It may take long (a child process may have to start first) and may raise
    `UpstreamError`. The connection is opened in a separate task, so that `abort` can cancel it while a `read` waits
    for it. A refused request may be sent again in another form, even if the refusal comes after a 200, as long as no
    part of an answer has arrived. Each response gets a new decoder.
    """

    def __init__(
        self,
        prepare: Callable[[], Awaitable[Call]],
        decoder: Callable[[], Decoder],
        voice: ErrorMapper,
        joint: Continuation | None = None,
    ) -> None:
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.heard = 0.0  # see `Generation`
        self._loop = asyncio.get_running_loop()
        self._prepare = prepare
        self._new_decoder = decoder
        self._decoder = decoder()
        self._voice = voice
        self._joint = joint
        self._upstream: UpstreamClient | None = None
        self._retry: Retry | None = None  # of the last call
        self._answering = False  # whether any part of an answer has arrived
        self._refusal: Refusal | None = None  # received instead of an answer
        self._opening: asyncio.Task[None] | None = None
        self._response: aiohttp.ClientResponse | None = None
        self._protocol: ResponseHandler | None = None
        self._gone: asyncio.Future[None] | None = None  # done once the transport is closed
        self._failure: UpstreamError | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._aborted = False

    def __repr__(self) -> str:
        return f"<HttpGeneration {self._state()} of {self._voice.label!r}>"

    async def read(self) -> list[Delta]:
        """See `Generation`. Called once per token, so the usual path awaits nothing but aiohttp's own reader."""
        try:
            while self._failure is None:
                if self._decoder.done:
                    return []
                content = (self._response or await self._open()).content
                try:
                    data = await content.readany()
                except BROKEN as error:
                    data = self._broken_off(content, error)
                if deltas := self._take_in(data):
                    return deltas
                if self._refusal is not None:
                    await self._ask_again(self._refusal)
                elif b"\n" in data or b"\r" in data:  # an endless line is no sign of life
                    self.heard = self._loop.time()
        except UpstreamError as failure:  # from the opening
            self._failure = failure
            self.abort()
            raise
        except BaseException:  # a cancelled read also ends the generation
            self.abort()
            raise
        raise self._failure

    def abort(self) -> None:
        """See `Generation`."""
        if self._aborted:
            return
        self._aborted = True
        if self._linger is not None:
            self._linger.cancel()
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
        if self._protocol is not None:
            self._protocol.abort()  # not close(), which would first send the rest of a large prompt
        if self._response is not None:
            self._response.close()  # wakes a waiting `read`
        if self._upstream is not None:
            self._upstream.dismiss(self)

    async def wait_closed(self) -> None:
        """See `Generation`."""
        # asyncio.wait neither raises the exceptions of these futures nor cancels them if this task is cancelled.
        if self._opening is not None:
            await asyncio.wait({self._opening})
        if self._gone is not None:
            await asyncio.wait({self._gone})

    async def _open(self) -> aiohttp.ClientResponse:
        if self._aborted:
            raise self._voice.truncated()
        if self._opening is None:
            self._opening = asyncio.create_task(self._connect(), name="backend-open")
            self._opening.add_done_callback(_retrieve)
        await asyncio.wait({self._opening})
        if not self._opening.cancelled():
            self._opening.result()
        if self._response is None or self._aborted:  # `abort` was called by another task
            raise self._voice.truncated()
        return self._response

    async def _connect(self) -> None:
        """Get a response with status 200. Raises `UpstreamError` otherwise."""
        await self._send_until_taken(await self._prepare())

    async def _ask_again(self, refusal: Refusal) -> None:
        """Send the request again in another form. Raises `UpstreamError` if there is none."""
        self._refusal = self._failure = None
        self._opening = asyncio.create_task(self._reconnect(refusal), name="backend-open-again")
        self._opening.add_done_callback(_retrieve)
        await self._open()

    async def _reconnect(self, refusal: Refusal) -> None:
        again = await self._retry.refused(refusal) if self._retry is not None else None
        if again is None:
            raise refusal.error
        await self._drop()
        self._decoder = self._new_decoder()
        await self._send_until_taken(again)

    async def _send_until_taken(self, call: Call | None) -> None:
        on_connection.set(self._attach)  # set in this task's context only
        while call is not None:
            call = await self._send(call)

    async def _send(self, call: Call) -> Call | None:
        """Send a request. If it is refused, return the one to send instead; without one raise `UpstreamError`."""
        self._upstream, self._retry = call.upstream, call.retry
        self._upstream.enlist(self)
        try:
            self._response = response = await call.upstream.post(call.path, call.body)
        except BROKEN as error:
            call.upstream.broke = True
            raise self._voice.before_answer(error) from error
        if response.status == 200:
            return None
        body = await _error_body(response)
        rejected = self._voice.rejected(response.status, body, response.headers)
        refusal = Refusal(response.status, body, rejected)
        again = await call.retry.refused(refusal) if call.retry is not None else None
        if again is None:
            raise rejected
        await self._drop()
        return again

    async def _drop(self) -> None:
        """Close the connection of a refused request, so that a generation never has two connections."""
        response, self._response = self._response, None
        if self._protocol is not None:
            self._protocol.abort()
        if response is not None:
            response.close()
        if self._gone is not None:
            await asyncio.wait({self._gone}, timeout=CLOSE_TIMEOUT)

    def _attach(self, protocol: ResponseHandler) -> None:
        self._protocol = protocol
        self._gone = protocol.closed
        if self._gone is not None:
            self._gone.add_done_callback(_retrieve)

    def _take_in(self, data: bytes) -> list[Delta]:
        """Return the deltas that `data` completes; empty `data` means the end of the connection."""
        decoder = self._decoder
        broken = self._failure
        try:
            if data:
                decoder.feed(data)
            if not (decoder.done or self._aborted) and (broken or not data):
                decoder.flush(broken=broken is not None)
        except UpstreamError as failure:
            failure.__cause__ = failure.__cause__ or (broken and broken.__cause__)
            self._failure = failure  # raised by `read` after the deltas from before it
        deltas = decoder.take()
        if not self._answering and (deltas or decoder.done):
            self._answering = True
            if self._retry is not None:
                self._retry.accepted()
        if decoder.done:  # errors after the end of the answer do not matter
            self._failure = None
            self.finish_reason, self.usage = decoder.finish_reason, decoder.usage
            self.abort()
        elif self._failure is not None:
            self._refusal = self._refused(self._failure)
            if self._refusal is None:
                self.abort()
        elif decoder.finished:
            self._wait_for_the_mark()
        return self._joint.join(deltas) if self._joint is not None else deltas

    def _refused(self, failure: UpstreamError) -> Refusal | None:
        """Return a failure as a refusal if the request may still be sent in another form, else `None`."""
        body = self._decoder.complaint
        if body is None or self._answering or self._aborted or self._retry is None:
            return None
        return Refusal.after_200(body, failure)

    def _wait_for_the_mark(self) -> None:
        """Give the server `LINGER` seconds after the finish reason to send the usage and the end mark."""
        if self._linger is not None:
            self._linger.cancel()
        if self._response is not None:
            self._linger = self._loop.call_later(LINGER, self._response.close)  # wakes a waiting `read`

    def _broken_off(self, content: aiohttp.StreamReader, error: Exception) -> bytes:
        """Record the failure and return the bytes received before it."""
        self._failure = self._voice.truncated()
        self._failure.__cause__ = error
        if self._aborted:
            return b""
        if self._upstream is not None and not self._decoder.finished:
            self._upstream.broke = True
        # aiohttp raises before it returns the bytes still buffered; there is no public API for them.
        return content._read_nowait(-1)

    def _state(self) -> str:
        if self._decoder.done:
            return "done"
        if self._failure is not None:
            return "failed"
        if self._aborted:
            return "aborted"
        if self._opening is None:
            return "unopened"
        return "opening" if self._response is None else "open"


async def _error_body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, or the part that arrived in time. It may be empty: the status alone then describes the error."""
    pieces: list[bytes] = []
    with contextlib.suppress(*BROKEN):
        await within(ERROR_BODY_TIMEOUT, _gather(response.content, pieces))
    return b"".join(pieces)[:MAX_ERROR_BODY]


async def _gather(content: aiohttp.StreamReader, pieces: list[bytes]) -> None:
    while sum(map(len, pieces)) < MAX_ERROR_BODY and (piece := await content.readany()):
        pieces.append(piece)


def _retrieve(future: asyncio.Future[None]) -> None:
    """Retrieve the exception of a future, so that the loop does not report it as never retrieved."""
    if not future.cancelled():
        future.exception()
