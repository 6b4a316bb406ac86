"""An open response that events are written to: flow control, heartbeats, and noticing that the client has left.

What is written comes from its subclasses. They write straight to the transport while it has room, and wait for room
where it has not: nothing is queued for a client, so a slow one costs no memory and delays nobody.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from app.tasks.reports import report
from app.tasks.timeouts import within
from app.web.app_keys import REGISTRY
from app.web.events.heartbeat import TICKS, HeartbeatTimer
from app.web.events.response import chunk, is_chunked

STALL_SECONDS = (
    60.0  # that a client may leave a full connection unread, before it is cut and has to come back
)
BUFFER_BYTES = 32 * 1024  # in the transport, before a client counts as behind


class EventPush:
    """Serves one response for as long as there is something to show and somebody to see it."""

    def __init__(self, pulse: HeartbeatTimer) -> None:
        self._pulse = pulse
        self._wake = asyncio.Event()
        self._closing = False  # show what there is, then leave
        self._gone = False  # the client has left
        self._quiet = 0  # ticks since the last byte

    async def _serve(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """Send the headers, then what there is, until the subclass has shown all or the client leaves."""
        writer = await response.prepare(request)
        transport = request.transport
        if writer is None or transport is None:
            return response  # The client has left already.
        self._attach(request, writer, transport)
        self._came()
        self._pulse.add(self)
        try:
            await self._show()
            if not self._gone:
                if request.app[REGISTRY].draining and (words := self._last_words()):
                    await self._send(words)
                await response.write_eof()
        except (TimeoutError, ConnectionError):
            # It read nothing for too long, or left in the middle of a write. Its cursor brings it back.
            self._transport.abort()
        except Exception as error:  # noqa: BLE001 - it is reported, and too late for a problem
            self.fail(error)
        finally:
            self._pulse.discard(self)
            self._left()
        return response

    def close(self) -> None:
        """Let it show what there is, and leave."""
        self._closing = True
        self._wake.set()

    def fail(self, error: Exception) -> None:
        """Cut the response: something failed for it alone, and the client comes back with its cursor."""
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

    def _came(self) -> None:
        """The response is open."""

    def _last_words(self) -> bytes:
        """Return what is said last if the server ends."""
        return b""

    def _left(self) -> None:
        """The response is over."""

    async def _show(self) -> None:
        """Write what there is until all has been shown, or the client is gone."""
        raise NotImplementedError

    def _heartbeat(self) -> bytes:
        """Return what breaks a long silence."""
        raise NotImplementedError

    async def _send(self, data: bytes) -> None:
        """Write `data`, and wait until there is room again: never for longer than a client may stall."""
        if self._transport.is_closing():
            self._gone = True
            return
        self._quiet = 0
        self._transport.write(chunk(data) if self._chunked else data)
        # A kernel takes megabytes at once, and then nothing makes a replay wait: here others have their turn.
        await asyncio.sleep(0)
        await self._room()

    async def _room(self) -> None:
        if self._protocol.writing_paused:  # as a rule it is not, and then nothing is to be waited for
            await within(STALL_SECONDS, self._writer.drain())

    # ---- the pulse -------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Notice a client that has left, and break a long silence."""
        if self._transport.is_closing():
            self._gone = True
            self._wake.set()
            return
        self._quiet += 1
        if self._quiet >= TICKS and not self._protocol.writing_paused:
            self._quiet = 0
            beat = self._heartbeat()
            self._transport.write(chunk(beat) if self._chunked else beat)
