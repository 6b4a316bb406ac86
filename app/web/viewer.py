"""A viewer: one open response that shows a session log, or one stream of it, from a cursor on.

While it keeps up, it is a callback on the log that writes straight to the transport: no queue, no task switch, no
timer per event. When the transport is full it falls behind: it forgets the log, waits until the transport has room,
and reads on from its cursor, however far that is. So a slow viewer costs no memory and delays nobody.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from app.streams.events import Heartbeat, Reset, ResetReason
from app.streams.frames import Cursor, Frame, passing_frame
from app.streams.session import Session
from app.web.event_stream import EventStream, LineStream, chunk, is_chunked
from app.web.keys import BASE
from app.web.outlet import BUFFER_BYTES, Outlet
from app.web.pulse import Pulse


class Viewer(Outlet):
    """Serves one response. `stream_id` narrows it to one stream, whose `end` ends it."""

    def __init__(self, session: Session, pulse: Pulse, *, after: int, stream_id: str | None = None) -> None:
        super().__init__(pulse)
        self._session = session
        self._log = session.log
        self._seq = after
        self._stream_id = stream_id
        self._live = False  # listening to the log
        self._over = False  # the end of the stream was shown

    def __repr__(self) -> str:
        what = f"stream={self._stream_id}" if self._stream_id else f"session={self._session.session_id}"
        return f"<Viewer {what} at={self._log.epoch}-{self._seq} {'live' if self._live else 'behind'}>"

    async def serve(self, request: web.Request, response: EventStream | LineStream) -> web.StreamResponse:
        """Send the headers, then events until the stream's end, the client's leaving or the session's closing."""
        self._base = request.app[BASE]
        self._encode = response.encode
        self._farewell = response.farewell
        self._shares_wire = is_chunked(request) and isinstance(response, EventStream)
        return await self._serve(request, response)

    def _last_words(self) -> bytes:
        return self._farewell()

    def _came(self) -> None:
        self._session.viewer_came(self, self.close)

    def _left(self) -> None:
        self._log.forget(self._feed)
        self._session.viewer_left(self)

    # ---- behind: read from the log, with flow control ---------------------------------------------------------

    async def _show(self) -> None:
        while not (self._gone or self._over):
            if self._log.refusal(Cursor(self._log.epoch, self._seq)) is not None:
                await self._send(self._frame_bytes(_reset(self._base, self._session.session_id, "lagging")))
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
            await self._room()

    def _stop_following(self) -> None:
        self._live = False
        self._log.forget(self._feed)
        self._wake.set()

    # ---- live: called by the log, synchronously ---------------------------------------------------------------

    def _feed(self, frame: Frame) -> None:
        try:
            self._take(frame)
        except Exception as error:  # noqa: BLE001 - it is reported
            self.fail(error)

    def _take(self, frame: Frame) -> None:
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

    def _heartbeat(self) -> bytes:
        return self._frame_bytes(heartbeat())

    def _frame_bytes(self, event: Heartbeat | Reset) -> bytes:
        return self._encode(Frame("", _NAMES[type(event)], 0, passing_frame(event)))


def heartbeat() -> Heartbeat:
    """Return a sign of life, with the time."""
    return Heartbeat(datetime.now(UTC).isoformat(timespec="milliseconds"))


_NAMES = {Heartbeat: "heartbeat", Reset: "reset"}


def _reset(base: str, session_id: str, reason: ResetReason) -> Reset:
    return Reset(reason, f"{base}/api/sessions/{session_id}")


async def refuse(
    request: web.Request, response: EventStream | LineStream, session_id: str, reason: ResetReason
) -> web.StreamResponse:
    """Answer a cursor that cannot be served, in the stream: EventSource cannot read an error's body."""
    if await response.prepare(request) is not None:
        await response.write(
            response.encode(
                Frame("", "reset", 0, passing_frame(_reset(request.app[BASE], session_id, reason)))
            )
        )
        await response.write_eof()
    return response
