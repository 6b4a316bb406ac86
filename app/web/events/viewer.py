"""The event stream of the API: a session, or one of its streams, from a cursor."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from app.chat.scoped_ids import bare
from app.chat.times import utc_now
from app.log.entries import Entry, ResetReason
from app.streams.session import Session
from app.web.app_keys import BASE, CHANNELS, PULSE, VIEWERS
from app.web.events.channels import Channel, Piece
from app.web.events.encoders import Heartbeat, Reset
from app.web.events.heartbeat import HeartbeatTimer
from app.web.events.live_viewer import LiveViewer, Watch
from app.web.events.response import EventStream, LineStream

Response = EventStream | LineStream


class SessionWatch(Watch):
    """Sends a session, or only the stream `stream_id` up to its `end`."""

    def __init__(
        self, viewer: Viewer, session: Session, channel: Channel, after: int, stream_id: str | None
    ) -> None:
        super().__init__(viewer, session, channel, after)
        self._viewer: Viewer = viewer
        self._stream_id = stream_id

    def _encoded(self, entries: Sequence[Entry]) -> bytes:
        if entries and entries[-1].name == "end" and entries[-1].stream_id == self._stream_id:
            self._viewer.finish()
        return b"".join(map(self.channel.encode, entries))

    def _take(self, piece: Piece) -> None:
        if piece.last <= self._after:
            return
        if self._stream_id is not None and piece.stream_id != self._stream_id:
            self._after = piece.last
        elif piece.is_end and self._stream_id is not None:
            if self._viewer.write_last(piece):
                self._after = piece.last
        elif self._viewer.write(piece):
            self._after = piece.last

    def _reset(self, reason: ResetReason) -> bytes:
        return self._viewer.reset(self.session.session_id, reason)


class Viewer(LiveViewer):
    """Serves one session on one response, until the session closes, the stream ends or the client disconnects."""

    def __init__(self, response: Response, pulse: HeartbeatTimer, base: str) -> None:
        super().__init__(response, pulse)
        self._response: Response = response
        self._base = base
        self._over = False  # the stream's `end` was sent

    def watch(self, session: Session, channel: Channel, after: int, stream_id: str | None) -> None:
        """Send a session's events after sequence number `after`; only those of `stream_id` if given."""
        self._watch(SessionWatch(self, session, channel, after, stream_id))

    def write_last(self, piece: Piece) -> bool:
        """Finish the response with the stream's `end`, if the transport has room for it; else see `write`."""
        if not self._has_room():
            return False
        self._last = piece.data
        self.finish()
        return True

    def finish(self) -> None:
        """Finish the response: the stream's `end` was sent, or is `_last`."""
        self._over = True
        self._unfollow()

    def reset(self, session_id: str, reason: ResetReason) -> bytes:
        """Return the event that makes the client load a snapshot."""
        self._measures.resets[reason] += 1
        return self._response.passing("reset", reset(self._base, session_id, reason))

    @property
    def _is_over(self) -> bool:
        return self._over or super()._is_over

    def _last_words(self) -> bytes:
        return self._response.farewell()

    def _heartbeat(self) -> bytes:
        return self._response.passing("heartbeat", heartbeat())


def heartbeat() -> Heartbeat:
    """Return a heartbeat with the current time, to the millisecond."""
    return Heartbeat(utc_now())


def reset(base: str, session_id: str, reason: ResetReason) -> Reset:
    """Return the data of a reset event. `base` is the path that the server is mounted under."""
    return Reset(reason, f"{base}/api/sessions/{bare(session_id)}")


async def view(
    request: web.Request, response: Response, session: Session, after: int, stream_id: str | None = None
) -> web.StreamResponse:
    """Respond with a session's events after sequence number `after`; only those of `stream_id` if given."""
    viewer = Viewer(response, request.app[PULSE], request.app[BASE])
    channels = request.app[CHANNELS][response.media_type]
    viewer.watch(session, channels.join(session, viewer), after, stream_id)
    try:
        return await viewer.serve(request)
    finally:
        channels.leave(session, viewer)


async def refuse(
    request: web.Request, response: Response, session_id: str, reason: ResetReason
) -> web.StreamResponse:
    """Reject a cursor with an event in the stream: EventSource cannot read the body of an error response."""
    request.app[VIEWERS].resets[reason] += 1
    if await response.prepare(request) is not None:
        await response.write(response.passing("reset", reset(request.app[BASE], session_id, reason)))
        await response.write_eof()
    return response
