"""A viewer: an open response that sends one or more session logs, each from a cursor.

A live viewer is called by its channels and writes straight to the transport: no queue, task switch or timer per event.
When the transport buffer is full the viewer falls behind: it leaves its channels, waits for the buffer to drain and
reads the logs from its cursors. A slow viewer therefore needs no extra memory and does not delay the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from app.log.cursors import Cursor
from app.log.entries import Entry, ResetReason
from app.log.session_log import READ_BYTES
from app.streams.session import Session
from app.web.app_keys import VIEWERS
from app.web.events.channels import Channel, Piece
from app.web.events.heartbeat import HeartbeatTimer
from app.web.events.push import BUFFER_BYTES, EventPush
from app.web.events.response import EventStream, LineStream

SMALL = 4096  # bytes that take no turn of the loop


class Watched(Protocol):
    """A session on a response."""

    @property
    def lag(self) -> int:
        """The number of events of the session that have not been sent."""
        ...

    def enter(self) -> None:
        """The response watches the session from now on."""
        ...

    def leave(self) -> None:
        """The response watches the session no longer."""
        ...

    def read(self) -> bytes:
        """Return what comes next, about the size of one write; empty if there is nothing yet."""
        ...

    def follow(self) -> None:
        """The viewer has read everything: from now on write what comes at once, or wake the viewer."""
        ...

    def unfollow(self) -> None:
        """The viewer reads again. Idempotent."""
        ...


class Watch:
    """One session on a response: a position in its log, and the channel to follow once it has caught up."""

    def __init__(self, viewer: LiveViewer, session: Session, channel: Channel, after: int) -> None:
        self.session = session
        self.channel = channel
        self._viewer = viewer
        self._after = after
        self._closed = False  # the session was deleted, or the server ends

    def __repr__(self) -> str:
        return f"<Watch {self.session.session_id} at={self.session.log.epoch}-{self._after}>"

    @property
    def lag(self) -> int:
        """The number of events of the session that have not been sent."""
        return self.session.log.head - self._after

    def close(self) -> None:
        """The session is closed: send the rest of its log, then leave it."""
        self._closed = True
        self._viewer.look()

    def enter(self) -> None:
        """See `Watched`."""
        self.session.viewer_came(self, self.close)

    def leave(self) -> None:
        """See `Watched`."""
        self.channel.forget(self)
        self.session.viewer_left(self)

    def follow(self) -> None:
        """See `Watched`."""
        self.channel.follow(self)

    def unfollow(self) -> None:
        """See `Watched`."""
        self.channel.forget(self)

    # ---- behind: read from the log, with flow control --------------------------------------------------------

    def read(self) -> bytes:
        """Return the next batch of the log, about the size of one write; empty if the viewer has caught up."""
        log = self.session.log
        if log.refusal(Cursor(log.epoch, self._after)) is not None:
            return self._leave(self._reset("lagging"))
        reading = log.read(self._after, self._stream_id)
        self._after = reading.last
        data = self._encoded(reading.entries)
        if not data and self._closed:
            return self._leave(self._farewell())
        return data

    def _leave(self, last: bytes) -> bytes:
        """Stop watching the session; return `last`, the final bytes for it."""
        self._viewer.drop(self)
        return last

    # ---- live: called by the channel, synchronously ----------------------------------------------------------

    def show(self, piece: Piece) -> None:
        """See `Follower`."""
        try:
            self._take(piece)
        except Exception as error:  # noqa: BLE001 - it is reported
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """See `Follower`."""
        self._viewer.fail(error)

    # ---- for subclasses --------------------------------------------------------------------------------------

    _stream_id: str | None = None  # set if only this stream is sent

    def _encoded(self, entries: Sequence[Entry]) -> bytes:
        """Return the entries in the format of this response."""
        raise NotImplementedError

    def _take(self, piece: Piece) -> None:
        """Write a piece if it belongs to this response."""
        raise NotImplementedError

    def _reset(self, reason: ResetReason) -> bytes:
        """Return the event for a position that the log no longer holds."""
        raise NotImplementedError

    def _farewell(self) -> bytes:
        """Return the final bytes for a session that has closed."""
        return b""


class LiveViewer(EventPush):
    """Serves one response, which may watch several sessions."""

    def __init__(self, response: EventStream | LineStream, pulse: HeartbeatTimer) -> None:
        super().__init__(pulse)
        self._response = response
        self._watches: list[Watched] = []
        self._live = False
        self._is_large = False  # what went out with the headers
        self._behind_since: float | None = None  # loop time at which the transport was found full

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._watches} {'live' if self._live else 'behind'}>"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send the headers, then events until everything is sent or the client disconnects."""
        self._measures = request.app[VIEWERS]
        try:
            with self._measures.viewing(self):
                if not self._response.prepared:
                    opening = self._response.opening = self._opening()
                    self._kept, self._is_large = len(opening), len(opening) > SMALL
                return await self._serve(request, self._response)
        finally:
            self._left()  # also if the response was never started
            self._caught_up()

    @property
    def lag(self) -> int:
        """The number of events that have not been sent."""
        return sum(watch.lag for watch in self._watches)

    def look(self) -> None:
        """Wake up and read the logs."""
        self._wake.set()

    def drop(self, watch: Watched) -> None:
        """Stop watching a session."""
        self._watches.remove(watch)
        watch.leave()

    def write(self, piece: Piece) -> bool:
        """Write to the transport; return whether it had room. If not, the viewer falls back to reading the logs."""
        if not self._has_room():
            return False
        self._transport.write(piece.wire if self._chunked else piece.data)
        self._wrote = self._pulse.now
        if len(piece.data) > BUFFER_BYTES:  # rarely
            self._make_room()
        return True

    def _has_room(self) -> bool:
        transport = self._transport
        if transport.get_write_buffer_size() > BUFFER_BYTES or transport.is_closing():
            self._gone = transport.is_closing()
            if not self._gone:
                self._behind_since = asyncio.get_running_loop().time()
            self._unfollow()
            return False
        return True

    @property
    def _is_over(self) -> bool:
        """Whether nothing is left to send."""
        return not self._watches

    def _watch(self, watch: Watched) -> None:
        self._watches.append(watch)
        watch.enter()

    def _left(self) -> None:
        for watch in tuple(self._watches):
            self.drop(watch)

    def _opening(self) -> bytes:
        """Return what goes out with the headers: the first batch of each log, while that is not much."""
        first: list[bytes] = []
        size = 0
        for watch in tuple(self._watches):
            if size < READ_BYTES:
                first.append(watch.read())
                size += len(first[-1])
        return b"".join(first)

    def _came(self) -> None:
        self._response.opening, self._kept = b"", 0  # sent

    async def _show(self) -> None:
        if self._is_large:
            await self._yield()
        while not self._gone:
            if await self._catch_up():
                continue
            if self._closing or self._is_over:
                return
            await self._follow()

    async def _catch_up(self) -> bool:
        """Read once from every log and send it; return whether there was anything."""
        found = False
        for watch in tuple(self._watches):
            if data := watch.read():
                found = True
                await self._send(data)
        return found

    async def _follow(self) -> None:
        """Follow the channels until woken. Nothing was awaited since the empty reads, so no entry is missed."""
        self._caught_up()
        self._wake.clear()
        self._live = True
        for watch in self._watches:
            watch.follow()
        try:
            await self._wake.wait()
        finally:
            self._unfollow()
        if not self._gone:
            await self._room()

    def _caught_up(self) -> None:
        if self._behind_since is not None:
            self._measures.behind.observe(asyncio.get_running_loop().time() - self._behind_since)
            self._behind_since = None

    def _unfollow(self) -> None:
        self._live = False
        for watch in self._watches:
            watch.unfollow()
        self._wake.set()
