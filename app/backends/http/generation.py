"""One answer read over HTTP: opened by the first `read`, closed by its end, an error, or `abort`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import thread_time

import aiohttp

from app.backends.decoding.decoder import Decoder
from app.backends.errors.mapper import ErrorMapper
from app.backends.http.attempt import Attempt, Call
from app.backends.http.client import BROKEN, UpstreamClient
from app.backends.http.connection import Body, Listening, UpstreamConnection
from app.backends.http.connectors import on_connection
from app.backends.http.continuation import Begun
from app.backends.http.error_body import error_body
from app.backends.http.passing import Passing
from app.backends.http.refusals import Refusal
from app.backends.http.slices import SMALLEST, Slices
from app.chat.errors import Refused, UpstreamError
from app.chat.ports import Delta, Listener, Request, Usage
from app.tasks.waiting import first_done

LINGER = 3.0  # s that a connection may stay open without text after the finish reason
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
        request: Request,
        prepare: Callable[[Begun], Awaitable[Call]],
        decoder: Callable[..., Decoder],  # called with the mapper, and `begins=False` to continue an answer
        voice: ErrorMapper,
    ) -> None:
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.heard = 0.0  # see `Generation`
        self.listener: Listener | None = None
        self._loop = asyncio.get_running_loop()
        self._prepare = prepare
        self._begun = begun = Begun.of(request)
        self._passing = Passing.of(begun, voice.spoken)
        self._new_decoder = partial(decoder, voice, begins=begun.joint is None)
        self._decoder = self._new_decoder()
        self._voice = voice
        self._upstream: UpstreamClient | None = None
        self._attempt: Attempt | None = None  # of the last call
        self._answering = False  # whether any part of an answer has arrived
        self._refusal: Refusal | None = None  # received instead of an answer
        self._opening: asyncio.Task[None] | None = None
        self._response: aiohttp.ClientResponse | None = None
        self._protocol: UpstreamConnection | None = None
        self._listening: Listening | None = None  # while a `read` waits and the listener gets the text
        self._gone: asyncio.Future[None] | None = None  # done once the transport is closed
        self._failure: UpstreamError | None = None
        self._slices = Slices()
        self._linger: asyncio.TimerHandle | None = None
        self._aborted = False

    def __repr__(self) -> str:
        return f"<HttpGeneration {self._state()} of {self._voice.label!r}>"

    async def read(self) -> list[Delta]:
        """See `Generation`. Without a listener it is called once per token, and awaits only aiohttp's own reader."""
        try:
            while self._failure is None:
                if self._decoder.done:
                    return []
                content = (self._response or await self._open()).content
                if self._can_listen:
                    await self._listen()
                    if self._is_over:
                        continue
                data = await self._receive(content)
                if deltas := self._take_in(data):
                    return deltas
                if self._refusal is not None:
                    await self._open(self._refusal)
                else:
                    self._note_life(data)
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
        self._wake()
        if self._protocol is not None:
            self._protocol.abort()  # not close(), which would first send the rest of a large prompt
        if self._response is not None:
            self._response.close()  # wakes a `read` that waits for aiohttp
        if self._upstream is not None:
            self._upstream.dismiss(self)

    async def wait_closed(self) -> None:
        """See `Generation`."""
        if self._opening is not None:
            await first_done(self._opening)
        if self._gone is not None:
            await first_done(self._gone)

    async def _open(self, refusal: Refusal | None = None) -> aiohttp.ClientResponse:
        """Return the response once its headers are there; after a refusal, that to the request in another form."""
        if self._aborted:
            raise self._voice.truncated()
        if self._opening is None or refusal is not None:
            self._refusal = self._failure = None
            self._slices = Slices()
            self._opening = asyncio.create_task(self._connect(refusal), name="backend-open")
            self._opening.add_done_callback(_retrieve)
        await first_done(self._opening)
        if not self._opening.cancelled():
            self._opening.result()
        if self._response is None or self._aborted:  # `abort` was called by another task
            raise self._voice.truncated()
        return self._response

    async def _connect(self, refusal: Refusal | None) -> None:
        """Get a response with status 200. Raises `UpstreamError` otherwise, or what `Request.load` raises."""
        on_connection.set(self._attach)  # set in this task's context only
        if refusal is None:
            refusal = await self._send(await self._prepare(self._begun))
        while refusal is not None:
            again = self._attempt.refused(refusal) if self._attempt is not None else None
            if again is None:
                raise refusal.error
            await self._drop()
            self._decoder = self._new_decoder()
            refusal = await self._send(again)

    async def _send(self, call: Call) -> Refusal | None:
        """Send a request; return how it is refused, `None` if the answer begins. Raises as `_connect` does."""
        self._upstream, self._attempt = call.upstream, call.attempt
        self._upstream.enlist(self)
        try:
            self._response = response = await call.upstream.post(call.path, call.body, call.headers)
        except BROKEN as error:
            if isinstance(error.__cause__, Refused):  # an image of the body could not be loaded
                raise error.__cause__ from None
            call.upstream.broke = True
            raise self._voice.before_answer(error) from error
        if response.status == 200:
            self._decoder.media_type = response.content_type
            return None
        body = await error_body(response)
        return Refusal(response.status, body, self._voice.rejected(response.status, body, response.headers))

    async def _drop(self) -> None:
        """Close the connection of a refused request, so that a generation never has two connections."""
        response, self._response = self._response, None
        if self._protocol is not None:
            self._protocol.abort()
        if response is not None:
            response.close()
        if self._gone is not None:
            await first_done(self._gone, seconds=CLOSE_TIMEOUT)

    def _attach(self, protocol: UpstreamConnection) -> None:
        self._protocol = protocol
        self._gone = protocol.closed
        if self._gone is not None:
            self._gone.add_done_callback(self._lost)

    @property
    def _is_over(self) -> bool:
        return self._decoder.done or self._failure is not None

    @property
    def _can_listen(self) -> bool:
        return self.listener is not None and self._answering and self._slices.broken is None

    async def _receive(self, content: aiohttp.StreamReader) -> bytes:
        """Return the next slice of the response. If its connection broke, note that."""
        data = await self._slices.next(content)
        if len(data) >= SMALLEST and self._upstream is not None:
            await self._upstream.turns.wait()
        broken = self._slices.broken
        if broken is not None and self._aborted:
            self._failure = self._voice.truncated()
            self._failure.__cause__ = broken
            return b""
        if broken is not None and self._upstream is not None and not self._decoder.finished:
            self._upstream.broke = True
        return data

    def _lost(self, gone: asyncio.Future[None]) -> None:
        _retrieve(gone)
        self._wake()

    async def _listen(self) -> None:
        """Let the listener have what arrives. Return once `read` has to act: at the end, a failure, or an abort."""
        if self._protocol is None or self._upstream is None:
            return
        self._listening = listening = Listening(self._protocol, self._hear, self._upstream.turns)
        try:
            await listening.ended()
        finally:
            self._listening = None

    def _hear(self) -> None:
        """Pass what has arrived to the listener. Hot path: called for every token."""
        response, listener, size = self._response, self.listener, self._slices.size
        if response is None or listener is None or response.content.exception() is not None:
            self._wake()
            return
        content = response.content
        try:
            if data := content.take(size) if isinstance(content, Body) else content.read_nowait(size):
                if deltas := self._take_in(data):  # wakes `read` if it fails or is done
                    listener(deltas)
                else:
                    self._note_life(data)
                if len(data) == size and self._listening is not None:  # there may be more
                    self._listening.rest()
                    return
        except Exception as error:  # noqa: BLE001 - `read` raises it
            self._wake(error)
        if content.is_eof():
            self._wake()

    def _wake(self, error: Exception | None = None) -> None:
        """Wake a `read` that waits while the listener gets the text; let it raise `error`."""
        if self._listening is not None:
            self._listening.end(error)

    def _note_life(self, data: bytes) -> None:
        """Note the time of data without text. An endless line is no sign of life, but for blanks and colons."""
        if b"\n" in data or b"\r" in data or (data and not data.strip(b" \t:")):
            self.heard = self._loop.time()

    def _take_in(self, data: bytes) -> list[Delta]:
        """Return the deltas that `data` completes; empty `data` means the end of the connection."""
        decoder = self._decoder
        is_large = len(data) >= SMALLEST
        begun = thread_time() if is_large else 0.0
        self._decode(decoder, data)
        deltas = decoder.take()
        if is_large or not deltas:
            self._count(data, deltas, thread_time() - begun if is_large else 0.0)
        if not self._answering and (deltas or decoder.done):
            self._answering = True
            if self._attempt is not None:
                self._attempt.accepted()
        if decoder.finished or decoder.done or self._failure is not None:
            self._settle(decoder, has_text=bool(deltas))
        return deltas if self._passing is None else self._passing.take(deltas, last=self._is_over)

    def _decode(self, decoder: Decoder, data: bytes) -> None:
        try:
            if data:
                decoder.feed(data)
            elif not (decoder.done or self._aborted):
                decoder.flush(broken=self._slices.broken is not None)
        except UpstreamError as failure:
            failure.__cause__ = failure.__cause__ or self._slices.broken
            self._failure = failure  # raised by `read` after the deltas from before it

    def _count(self, data: bytes, deltas: list[Delta], seconds: float) -> None:
        if not self._slices.count(data, deltas, seconds):
            self._failure = self._failure or self._voice.flooded()
        if self._listening is not None:
            self._listening.takes_turns = self._slices.is_slow

    def _settle(self, decoder: Decoder, *, has_text: bool) -> None:
        """Act on the end of the answer, on a failure, or on a finish reason."""
        if decoder.done:  # errors after the end of the answer do not matter
            self._failure = None
            self.finish_reason, self.usage = decoder.finish_reason, decoder.usage
            self.abort()
        elif self._failure is not None:
            self._refusal = self._refused(self._failure)
            if self._refusal is None:
                self.abort()
        else:
            self._wait_for_the_mark(has_text)

    def _refused(self, failure: UpstreamError) -> Refusal | None:
        """Return a failure as a refusal if the request may still be sent in another form, else `None`."""
        body = self._decoder.complaint
        if body is None or self._answering or self._aborted or self._attempt is None:
            return None
        return Refusal.after_200(body, failure)

    def _wait_for_the_mark(self, has_text: bool) -> None:
        """Give the server `LINGER` seconds after the finish reason, or later text, for the usage and the end mark."""
        if self._linger is not None:
            if not has_text:
                return  # keep-alives would hold the answer open for as long as they come
            self._linger.cancel()
        if self._response is not None:
            self._linger = self._loop.call_later(LINGER, self._give_up_waiting)

    def _give_up_waiting(self) -> None:
        if self._response is not None:
            self._response.close()  # wakes a `read` that waits for aiohttp
        self._wake()

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


def _retrieve(future: asyncio.Future[None]) -> None:
    """Retrieve the exception of a future, so that the loop does not report it as never retrieved."""
    if not future.cancelled():
        future.exception()
