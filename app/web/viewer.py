"""A viewer: one open response that shows a session log, or one stream of it, from a cursor on.

While it keeps up, it is a callback on the log that writes straight to the transport: no queue, no task switch, no
timer per event. When the transport is full it falls behind: it forgets the log, waits until the transport has room,
and reads on from its cursor, however far that is. So a slow viewer costs no memory and delays nobody.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from app.streams.events import Heartbeat, Reset, ResetReason
from app.streams.frames import Cursor, Frame, passing_frame
from app.streams.session import Session
from app.web.event_stream import EventStream, LineStream, chunk, is_chunked
from app.web.keys import REGISTRY
from app.web.pulse import TICKS, Pulse

STALL_SECONDS = (
    60.0  # that a client may leave a full connection unread, before it is cut and has to come back
)
BUFFER_BYTES = 32 * 1024  # in the transport, before a viewer counts as behind


class Viewer:
    """Serves one response. `stream_id` narrows it to one stream, whose `end` ends it."""

    def __init__(self, session: Session, pulse: Pulse, *, after: int, stream_id: str | None = None) -> None:
        self._session = session
        self._log = session.log
        self._pulse = pulse
        self._seq = after
        self._stream_id = stream_id
        self._wake = asyncio.Event()
        self._live = False  # listening to the log
        self._closing = False  # show what there is, then leave
        self._gone = False  # the client has left
        self._over = False  # the end of the stream was shown
        self._quiet = 0  # ticks since the last byte

    def __repr__(self) -> str:
        what = f"stream={self._stream_id}" if self._stream_id else f"session={self._session.session_id}"
        return f"<Viewer {what} at={self._log.epoch}-{self._seq} {'live' if self._live else 'behind'}>"

    async def serve(self, request: web.Request, response: EventStream | LineStream) -> web.StreamResponse:
        """Send the headers, then events until the stream's end, the client's leaving or the session's closing."""
        writer = await response.prepare(request)
        transport = request.transport
        if writer is None or transport is None:
            return response  # The client has left already.
        self._attach(request, response, writer, transport)
        self._session.viewer_came(self, self.close)
        self._pulse.add(self)
        try:
            await self._show()
            if not self._gone:
                if request.app[REGISTRY].draining and (farewell := response.farewell()):
                    await self._send(farewell)
                await response.write_eof()
        except (TimeoutError, ConnectionError):
            # It read nothing for too long, or left in the middle of a write. Its cursor brings it back.
            self._transport.abort()
        finally:
            self._pulse.discard(self)
            self._log.forget(self._feed)
            self._session.viewer_left(self)
        return response

    def close(self) -> None:
        """Let it show what there is, and leave."""
        self._closing = True
        self._wake.set()

    def _attach(
        self,
        request: web.Request,
        response: EventStream | LineStream,
        writer: AbstractStreamWriter,
        transport: asyncio.Transport,
    ) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=BUFFER_BYTES)
        self._protocol = request.protocol
        self._encode = response.encode
        self._chunked = is_chunked(request)
        self._shares_wire = self._chunked and isinstance(response, EventStream)
        self._writer = writer

    # ---- behind: read from the log, with flow control ---------------------------------------------------------

    async def _show(self) -> None:
        while not (self._gone or self._over):
            if self._log.refusal(Cursor(self._log.epoch, self._seq)) is not None:
                await self._send(self._frame_bytes(_reset(self._session.session_id, "lagging")))
                return
            reading = self._log.read(self._seq, self._stream_id)
            self._seq = reading.last
            if reading.frames:
                self._over = self._is_last(reading.frames[-1])
                await self._send(b"".join(map(self._encode, reading.frames)))
            elif self._closing:
                return
            else:
                await self._follow()

    async def _send(self, data: bytes) -> None:
        """Write `data`, and wait until there is room again: never for longer than a client may stall."""
        if self._transport.is_closing():
            self._gone = True
            return
        self._quiet = 0
        self._transport.write(chunk(data) if self._chunked else data)
        async with asyncio.timeout(STALL_SECONDS):
            await self._writer.drain()

    async def _follow(self) -> None:
        """Listen until there is a reason not to. Between the empty read and this, nothing was awaited."""
        self._wake.clear()
        self._log.listen(self._feed)
        self._live = True
        try:
            await self._wake.wait()
        finally:
            self._stop_following()
        if not self._gone:
            async with asyncio.timeout(STALL_SECONDS):
                await self._writer.drain()

    def _stop_following(self) -> None:
        self._live = False
        self._log.forget(self._feed)
        self._wake.set()

    # ---- live: called by the log, synchronously ---------------------------------------------------------------

    def _feed(self, frame: Frame) -> None:
        if frame.last <= self._seq:
            return
        if self._stream_id is not None and frame.stream_id != self._stream_id:
            self._seq = frame.last
            return
        transport = self._transport
        if transport.get_write_buffer_size() > BUFFER_BYTES:
            self._stop_following()
            return
        if transport.is_closing():
            self._gone = True
            self._stop_following()
            return
        transport.write(frame.wire if self._shares_wire and frame.wire is not None else self._wire(frame))
        self._seq = frame.last
        self._quiet = 0
        if frame.name == "end" and self._is_last(frame):
            self._over = True
            self._stop_following()

    def _wire(self, frame: Frame) -> bytes:
        """Return the bytes for the transport; those of chunked SSE are made once for all viewers."""
        if not self._shares_wire:
            data = self._encode(frame)
            return chunk(data) if self._chunked else data
        frame.wire = chunk(frame.sse)
        return frame.wire

    def _is_last(self, frame: Frame) -> bool:
        return frame.name == "end" and frame.stream_id == self._stream_id

    # ---- the pulse --------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Notice a client that has left, and break a long silence."""
        if self._transport.is_closing():
            self._gone = True
            self._wake.set()
            return
        self._quiet += 1
        if self._quiet >= TICKS and not self._protocol.writing_paused:
            self._quiet = 0
            beat = self._frame_bytes(Heartbeat(datetime.now(UTC).isoformat(timespec="milliseconds")))
            self._transport.write(chunk(beat) if self._chunked else beat)

    def _frame_bytes(self, event: Heartbeat | Reset) -> bytes:
        return self._encode(Frame("", _NAMES[type(event)], 0, passing_frame(event)))


_NAMES = {Heartbeat: "heartbeat", Reset: "reset"}


def _reset(session_id: str, reason: ResetReason) -> Reset:
    return Reset(reason, f"/api/sessions/{session_id}")


async def refuse(
    request: web.Request, response: EventStream | LineStream, session_id: str, reason: ResetReason
) -> web.StreamResponse:
    """Answer a cursor that cannot be served, in the stream: EventSource cannot read an error's body."""
    if await response.prepare(request) is not None:
        await response.write(
            response.encode(Frame("", "reset", 0, passing_frame(_reset(session_id, reason))))
        )
        await response.write_eof()
    return response
