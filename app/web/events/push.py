"""The base class of open event responses: flow control, heartbeats, and detection of disconnected clients.

Subclasses provide the events. They write straight to the transport while its buffer has room, and otherwise wait until
it drains. Nothing is queued per client, so a slow client needs no extra memory and does not delay the others.
"""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from app.tasks.reports import report
from app.tasks.timeouts import within
from app.tasks.wake import Wake
from app.web.app_keys import GRANT, OPEN_STREAMS, OWNER, REGISTRY
from app.web.events.heartbeat import LOOK, TICKS, HeartbeatTimer
from app.web.events.response import chunk, is_chunked

STALL_SECONDS = (
    60.0  # without reading from a full connection; after that it is aborted and the client must reconnect
)
BUFFER_BYTES = 32 * 1024  # in the transport; a client with more than this is behind


class EventPush:
    """Serves one response until everything is sent or the client disconnects."""

    def __init__(self, pulse: HeartbeatTimer) -> None:
        self._pulse = pulse
        self._wake = Wake()
        self._closing = False  # send what is available, then finish
        self._gone = False  # the client has disconnected
        self._last = b""  # goes out with the end of the response
        self._wrote = 0  # the tick of the last write

    async def _serve(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """Send the headers, then run `_show` until it returns or the client disconnects.

        Raises `OwnerEventStreams` before the headers; not of a prompt, which has been registered.
        """
        if not response.prepared and request.method == hdrs.METH_GET:
            request.app[OPEN_STREAMS].check(request[OWNER])
        with request.app[OPEN_STREAMS].counted(request[OWNER]):
            return await self._serve_counted(request, response)

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
        self._transport.abort()
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
        self._transport = transport
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
        await self._yield()

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
