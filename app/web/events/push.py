"""The base class of open event responses: flow control, heartbeats, and detection of disconnected clients.

Subclasses provide the events. They write straight to the transport while its buffer has room, and otherwise wait until
it drains. Nothing is queued per client, so a slow client needs no extra memory and does not delay the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from app.tasks.reports import report
from app.tasks.timeouts import within
from app.tasks.wake import Wake
from app.web.app_keys import GRANT, OPEN_STREAMS, OWNER, PASSED, REGISTRY
from app.web.events.heartbeat import LOOK, TICKS, HeartbeatTimer
from app.web.events.response import chunk, is_chunked

STALL_SECONDS = (
    60.0  # without reading from a full connection; after that it is aborted and the client must reconnect
)
BUFFER_BYTES = 32 * 1024  # in the transport; a client with more than this is behind
MUCH = 4 * BUFFER_BYTES  # with more than this, what all clients of the owner have not read is looked at


class EventPush:
    """Serves one response until everything is sent or the client disconnects."""

    def __init__(self, pulse: HeartbeatTimer) -> None:
        self._pulse = pulse
        self._wake = Wake()
        self._closing = False  # send what is available, then finish
        self._gone = False  # the client has disconnected
        self._last = b""  # goes out with the end of the response
        self._kept = 0  # bytes that are kept for this response beside those in the transport
        self._wire: asyncio.Transport | None = None  # the transport, from before the headers on
        self._wrote = 0  # the tick of the last write

    async def _serve(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """Send the headers, then run `_show` until it returns or the client disconnects.

        Raises `OwnerEventStreams` before the headers; not of a prompt, which has been registered.
        """
        with self._registered(request, response):
            return await self._serve_counted(request, response)

    @contextmanager
    def _registered(self, request: web.Request, response: web.StreamResponse) -> Iterator[None]:
        """Count this response among the open ones of its owner, with what its client has not read.

        A request that another node passed on is counted there, where the client is. Raises `OwnerEventStreams`.
        """
        self._wire = request.transport
        self._streams, self._owner = request.app[OPEN_STREAMS], request[OWNER]
        if PASSED in request:
            yield
            return
        if not response.prepared and request.method == hdrs.METH_GET:
            self._streams.check(self._owner)
        with self._streams.counted(self._owner, self):
            self._streams.make_room(self._owner)  # for what goes out with the headers
            yield

    @property
    def elsewhere(self) -> int:
        """See `Open`."""
        return 0

    @property
    def unread(self) -> int:
        """See `Open`."""
        return self._kept + (self._wire.get_write_buffer_size() if self._wire is not None else 0)

    async def _serve_counted(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        writer = await response.prepare(request)
        transport = request.transport
        if writer is None or transport is None:
            return response  # The client has already disconnected.
        self._attach(request, writer, transport)
        self._came()
        self._pulse.add(self)
        try:
            await self._show()
            if not self._gone:
                await self._room()
                words = self._last_words() if request.app[REGISTRY].draining else b""
                await response.write_eof(self._last + words)
        except (TimeoutError, ConnectionError):
            # The client stalled for too long or disconnected during a write. It can resume with its cursor.
            self._transport.abort()
        except Exception as error:  # noqa: BLE001 - it is reported; too late for a problem response
            self.fail(error)
        finally:
            self._pulse.discard(self)
            self._grant.release(self)
            self._left()
        return response

    def close(self) -> None:
        """Finish the response once what is available has been sent."""
        self._closing = True
        self._wake.set()

    def cut(self) -> None:
        """See `Cuttable`: the client is let in no longer, so nothing more is sent to it."""
        if self._wire is not None:
            self._wire.abort()
        self._gone = True
        self._wake.set()

    def fail(self, error: Exception) -> None:
        """Report `error` and abort this response only; the client reconnects with its cursor."""
        report("a response was cut short", error)
        self._transport.abort()
        self._gone = True
        self._wake.set()

    # ---- for subclasses --------------------------------------------------------------------------------------

    def _attach(
        self, request: web.Request, writer: AbstractStreamWriter, transport: asyncio.Transport
    ) -> None:
        self._transport = self._wire = transport
        self._transport.set_write_buffer_limits(high=BUFFER_BYTES)
        self._protocol = request.protocol
        self._chunked = is_chunked(request)
        self._writer = writer
        self._wrote = self._pulse.now
        self._grant = request[GRANT]
        self._grant.hold(self)

    def _came(self) -> None:
        """Called once the headers are sent."""

    def _last_words(self) -> bytes:
        """Return the final bytes to send if the server is shutting down."""
        return b""

    def _left(self) -> None:
        """Called when the response is finished."""

    async def _show(self) -> None:
        """Send events until everything is sent or the client has disconnected."""
        raise NotImplementedError

    def _heartbeat(self) -> bytes:
        """Return the heartbeat to send after an idle interval."""
        raise NotImplementedError

    async def _send(self, data: bytes) -> None:
        """Write `data` and wait for the buffer to drain. Raises `TimeoutError` after `STALL_SECONDS`."""
        if self._transport.is_closing():
            self._gone = True
            return
        self._wrote = self._pulse.now
        self._transport.write(chunk(data) if self._chunked else data)
        self._make_room()
        await self._yield()

    def _make_room(self) -> None:
        """Look at what the owner's clients have not read, if this one has not read much."""
        if self._transport.get_write_buffer_size() > MUCH:
            self._streams.make_room(self._owner)

    async def _yield(self) -> None:
        """Let other tasks run: the kernel may accept megabytes at once, so a replay might never wait."""
        await asyncio.sleep(0)
        await self._room()

    async def _room(self) -> None:
        if self._protocol.writing_paused:  # rarely: saves the timeout in the common case
            await within(STALL_SECONDS, self._writer.drain())

    # ---- the pulse -------------------------------------------------------------------------------------------

    def beat(self) -> int:
        """Send a heartbeat after an idle interval; see `HasHeartbeat`. Also detect a disconnected client."""
        if self._transport.is_closing():
            self._gone = True
            self._wake.set()
        elif self._pulse.now - self._wrote >= TICKS and not self._protocol.writing_paused:
            self._wrote = self._pulse.now
            beat = self._heartbeat()
            self._transport.write(chunk(beat) if self._chunked else beat)
        return max(1, min(LOOK, self._wrote + TICKS - self._pulse.now))
