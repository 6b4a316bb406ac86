"""An open response that shows session logs, each from a cursor on, for as long as there is something to show.

While it keeps up, channels call it and it writes straight to the transport: no queue, no task switch, no timer per
event. When the transport is full it falls behind: it leaves its channels, waits until the transport has room, and reads
on from its cursors, however far that is. So a slow viewer costs no memory and delays nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from app.log.cursors import Cursor
from app.log.entries import Entry, ResetReason
from app.streams.session import Session
from app.web.events.channels import Channel, Piece
from app.web.events.heartbeat import HeartbeatTimer
from app.web.events.push import BUFFER_BYTES, EventPush


class Watch:
    """One session on a response: a place in its log, and the channel that is followed from there on."""

    def __init__(self, viewer: LiveViewer, session: Session, channel: Channel, after: int) -> None:
        self.session = session
        self.channel = channel
        self._viewer = viewer
        self._after = after
        self._closed = False  # the session was deleted, or the server ends

    def __repr__(self) -> str:
        return f"<Watch {self.session.session_id} at={self.session.log.epoch}-{self._after}>"

    def close(self) -> None:
        """The session has no more to show."""
        self._closed = True
        self._viewer.look()

    # ---- behind: read from the log, with flow control --------------------------------------------------------

    def read(self) -> bytes:
        """Return what comes next, about as much as one write should carry; nothing if everything was shown."""
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
        """Watch no more; return the last words."""
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

    _stream_id: str | None = None  # of the one stream that is shown

    def _encoded(self, entries: Sequence[Entry]) -> bytes:
        """Return entries as this response carries them."""
        raise NotImplementedError

    def _take(self, piece: Piece) -> None:
        """Write a piece, if it is one for this response."""
        raise NotImplementedError

    def _reset(self, reason: ResetReason) -> bytes:
        """Return what is said when the log has not what comes next."""
        raise NotImplementedError

    def _farewell(self) -> bytes:
        """Return what is said when the session closes."""
        return b""


class LiveViewer(EventPush):
    """Serves one response with its watches."""

    def __init__(self, response: web.StreamResponse, pulse: HeartbeatTimer) -> None:
        super().__init__(pulse)
        self._response = response
        self._watches: list[Watch] = []
        self._live = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._watches} {'live' if self._live else 'behind'}>"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send the headers, then events until there is nothing more to show or the client leaves."""
        try:
            return await self._serve(request, self._response)
        finally:
            self._left()  # also where the response never began

    def look(self) -> None:
        """Something is to be read."""
        self._wake.set()

    def drop(self, watch: Watch) -> None:
        """Watch this session no more."""
        self._watches.remove(watch)
        watch.channel.forget(watch)
        watch.session.viewer_left(watch)

    def write(self, piece: Piece) -> bool:
        """Write to the transport; tell whether that was possible. If not, everything is read from the logs again."""
        transport = self._transport
        if transport.get_write_buffer_size() > BUFFER_BYTES or transport.is_closing():
            self._gone = transport.is_closing()
            self._unfollow()
            return False
        transport.write(piece.wire if self._chunked else piece.data)
        self._quiet = 0
        return True

    @property
    def _is_over(self) -> bool:
        """Whether there is nothing more to come."""
        return not self._watches

    def _watch(self, watch: Watch) -> None:
        self._watches.append(watch)
        watch.session.viewer_came(watch, watch.close)

    def _left(self) -> None:
        for watch in tuple(self._watches):
            self.drop(watch)

    async def _show(self) -> None:
        while not self._gone:
            if await self._catch_up():
                continue
            if self._closing or self._is_over:
                return
            await self._follow()

    async def _catch_up(self) -> bool:
        """Read once from every log; tell whether there was anything."""
        found = False
        for watch in tuple(self._watches):
            if data := watch.read():
                found = True
                await self._send(data)
        return found

    async def _follow(self) -> None:
        """Listen until there is a reason not to. Between the empty reads and this, nothing was awaited."""
        self._wake.clear()
        self._live = True
        for watch in self._watches:
            watch.channel.follow(watch)
        try:
            await self._wake.wait()
        finally:
            self._unfollow()
        if not self._gone:
            await self._room()

    def _unfollow(self) -> None:
        self._live = False
        for watch in self._watches:
            watch.channel.forget(watch)
        self._wake.set()
