"""A page's viewer: one open response that shows several sessions, each from a cursor on, with the blocks of answers.

It works as `Viewer` does. While it keeps up, the feeds call it; when its transport is full it leaves them all, waits
for room, and reads on from its cursors, one session after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aiohttp import web

from app.streams.events import ResetReason
from app.streams.frames import Cursor, Frame
from app.streams.registry import Registry
from app.streams.session import Session
from app.web.event_stream import EventStream, chunk
from app.web.feeds import Answer, Feed, Feeds, News
from app.web.outlet import BUFFER_BYTES, Outlet
from app.web.page_events import GoneEvent, ListEvent, page_frame, passing, reset
from app.web.pulse import Pulse
from app.web.viewer import heartbeat


class Watch:
    """One session on a page: a cursor into its log, and how many blocks of each answer were shown."""

    def __init__(self, page: PageViewer, session: Session, feed: Feed, after: int) -> None:
        self.session = session
        self.feed = feed
        self._page = page
        self._after = after
        self._closed = False  # the session was deleted, or the server ends
        # Of an answer that had ended by then its page has everything, from a snapshot or from an earlier connection.
        self._shown = {
            stream_id: len(answer.blocks)
            for stream_id, answer in feed.answers.items()
            if answer.end is not None and answer.end <= after
        }

    def __repr__(self) -> str:
        return f"<Watch {self.session.session_id} at={self.session.log.epoch}-{self._after}>"

    def close(self) -> None:
        """The session has no more to show."""
        self._closed = True
        self._page.look()

    # ---- behind ----------------------------------------------------------------------------------------------

    def read(self) -> bytes:
        """Return what comes next, about as much as one write should carry; nothing if everything was shown."""
        log = self.session.log
        if log.refusal(Cursor(log.epoch, self._after)) is not None:
            return self._page.drop(self, self._page.reset(self.session, "lagging"))
        reading = log.read(self._after)
        pieces: list[bytes] = []
        for frame in reading.frames:
            answer = self.feed.answers.get(frame.stream_id)
            if answer is None:
                # It ended before anybody followed the session: of its blocks only the snapshot knows.
                return self._page.drop(self, b"".join([*pieces, self._page.reset(self.session, "expired")]))
            pieces += self._piece(frame, answer)
        self._after = reading.last
        for stream_id, answer in self.feed.answers.items():
            if answer.start <= self._after:
                pieces += self._blocks(stream_id, answer)
        if not pieces and self._closed:
            return self._page.drop(self, self._page.farewell(self.session))
        return b"".join(pieces)

    def _piece(self, frame: Frame, answer: Answer) -> list[bytes]:
        blocks = self._blocks(frame.stream_id, answer) if frame.name in ("token", "end") else []
        opening = [answer.tail] if frame.name == "start" else []
        return [*blocks, page_frame(self.session.session_id, frame), *opening]

    def _blocks(self, stream_id: str, answer: Answer) -> list[bytes]:
        shown = self._shown.get(stream_id, 0)
        self._shown[stream_id] = len(answer.blocks)
        return answer.blocks[shown:]

    # ---- live: called by the feed, synchronously -------------------------------------------------------------

    def show(self, news: News) -> None:
        """See `Follower`."""
        try:
            written = self._page.write(news)
        except Exception as error:  # noqa: BLE001 - it is reported
            self.fail(error)
            return
        if written:
            self._after = news.last or self._after
            if news.blocks:
                self._shown[news.stream_id] = self._shown.get(news.stream_id, 0) + news.blocks

    def fail(self, error: Exception) -> None:
        """See `Follower`."""
        self._page.fail(error)


class PageViewer(Outlet):
    """Serves one response. Sessions that it may not watch any more leave it; the response stays open for the others."""

    def __init__(
        self, registry: Registry, feeds: Feeds, pulse: Pulse, base: str, count: Callable[[], int]
    ) -> None:
        super().__init__(pulse)
        self._base = base
        self._count = count  # of changes of the list of sessions
        self._counted = count()
        self._registry = registry
        self._feeds = feeds
        self._watches: list[Watch] = []
        self._first: list[bytes] = []  # what is said before anything else
        self._live = False
        self._response = EventStream()

    def __repr__(self) -> str:
        return f"<PageViewer {self._watches} {'live' if self._live else 'behind'}>"

    def say(self, frame: bytes) -> None:
        """Begin with this frame."""
        self._first.append(frame)

    def watch(self, session: Session, after: int) -> None:
        """Show a session from a place in its log on."""
        feed = self._feeds.join(session, self)
        watch = Watch(self, session, feed, after)
        self._watches.append(watch)
        session.viewer_came(watch, watch.close)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send the headers, then events until the client leaves or the server ends."""
        try:
            return await self._serve(request, self._response)
        finally:
            for watch in tuple(self._watches):
                self.drop(watch, b"")

    def look(self) -> None:
        """Something is to be read."""
        self._wake.set()

    def drop(self, watch: Watch, last: bytes) -> bytes:
        """Watch this session no more; return its `last` words."""
        self._watches.remove(watch)
        watch.feed.forget(watch)
        watch.session.viewer_left(watch)
        self._feeds.leave(watch.session, self)
        return last

    def reset(self, session: Session, reason: ResetReason) -> bytes:
        """Return what is said when the log has not what comes next."""
        return reset(self._base, session.session_id, reason)

    def farewell(self, session: Session) -> bytes:
        """Return what is said when a session closes: nothing if the server ends, for then it will be back."""
        session_id = session.session_id
        if self._registry.find(session_id) is session:
            self._closing = True
            return b""
        return passing("gone", GoneEvent(session_id))

    def write(self, news: News) -> bool:
        """Write to the transport; tell whether that was possible. If not, everything is read from the logs again."""
        transport = self._transport
        if transport.get_write_buffer_size() > BUFFER_BYTES or transport.is_closing():
            self._gone = transport.is_closing()
            self._unfollow()
            return False
        transport.write(news.wire if self._chunked else news.data)
        self._quiet = 0
        return True

    async def _show(self) -> None:
        if self._first:
            await self._send(b"".join(self._first))
        while not self._gone:
            if not await self._catch_up(tuple(self._watches)):
                if self._closing:
                    return
                await self._follow()

    async def _catch_up(self, watches: Iterable[Watch]) -> bool:
        """Read once from every session; tell whether there was anything."""
        found = False
        for watch in watches:
            if data := watch.read():
                found = True
                await self._send(data)
        return found

    async def _follow(self) -> None:
        """Listen until there is a reason not to. Between the empty reads and this, nothing was awaited."""
        self._wake.clear()
        self._live = True
        for watch in self._watches:
            watch.feed.follow(watch)
        try:
            await self._wake.wait()
        finally:
            self._unfollow()
        if not self._gone:
            await self._room()

    def _unfollow(self) -> None:
        self._live = False
        for watch in self._watches:
            watch.feed.forget(watch)
        self._wake.set()

    def tick(self) -> None:
        """See `Outlet`. Tell also that the list of sessions has changed."""
        super().tick()
        if self._gone or self._protocol.writing_paused or self._counted == (count := self._count()):
            return
        self._counted, self._quiet = count, 0
        frame = passing("list", ListEvent())
        self._transport.write(chunk(frame) if self._chunked else frame)

    def _last_words(self) -> bytes:
        return self._response.farewell()

    def _heartbeat(self) -> bytes:
        return passing("heartbeat", heartbeat())
