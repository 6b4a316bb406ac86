"""The event stream of a page: one response that carries several sessions, with the blocks of their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.chat.scoped_ids import bare
from app.log.entries import ResetReason
from app.streams.session import Session
from app.web.blocks.channel import BlockChannel
from app.web.blocks.watch import BlockWatch
from app.web.events.channels import Channels
from app.web.events.encoders import passing
from app.web.events.heartbeat import HeartbeatTimer
from app.web.events.live_viewer import LiveViewer, Watched
from app.web.events.response import EventStream, chunk
from app.web.events.viewer import heartbeat
from app.web.page.live.events import GoneEvent, ListEvent, reset


class PageWatch(BlockWatch):
    """One session on a page."""

    def __init__(self, viewer: PageViewer, session: Session, channel: BlockChannel, after: int) -> None:
        super().__init__(viewer, session, channel, after)
        self._viewer: PageViewer = viewer

    def leave(self) -> None:
        """See `Watched`."""
        super().leave()
        self._viewer.left(self.session)

    def _reset(self, reason: ResetReason) -> bytes:
        return self._viewer.reset(self.session.session_id, reason)

    def _farewell(self) -> bytes:
        return self._viewer.farewell(self.session)


class Elsewhere(Watched, Protocol):
    """A session of another node on a page."""

    @property
    def unread(self) -> int:
        """The bytes that wait for the viewer."""
        ...


class PageViewer(LiveViewer):
    """Serves one response. It drops sessions that close; the response stays open for the others."""

    def __init__(
        self,
        channels: Channels[BlockChannel],
        pulse: HeartbeatTimer,
        base: str,
        count: Callable[[], int],
    ) -> None:
        super().__init__(EventStream(), pulse)
        self._base = base
        self._count = count  # returns the number of changes to the session list
        self._counted = count()
        self._channels = channels
        self._first: list[bytes] = []  # frames to send first
        self._elsewhere: list[Elsewhere] = []

    def say(self, frame: bytes) -> None:
        """Send `frame` before everything else."""
        self._first.append(frame)

    def watch(self, session: Session, after: int) -> None:
        """Send a session's events after sequence number `after`."""
        self._watch(PageWatch(self, session, self._channels.join(session, self), after))

    def watch_elsewhere(self, watch: Elsewhere) -> None:
        """Send the events of a session that another node owns."""
        self._elsewhere.append(watch)
        self._watch(watch)

    def drop(self, watch: Watched) -> None:
        """See `LiveViewer`."""
        self._elsewhere = [other for other in self._elsewhere if other is not watch]
        super().drop(watch)

    @property
    def elsewhere(self) -> int:
        """See `Open`."""
        return len(self._elsewhere)

    @property
    def unread(self) -> int:
        """See `Open`."""
        return super().unread + sum(watch.unread for watch in self._elsewhere)

    def make_room(self) -> None:
        """Much waits for the client: look at what all clients of the owner have not read."""
        self._streams.make_room(self._owner)

    def left(self, session: Session) -> None:
        """A session of this node is not watched any more."""
        self._channels.leave(session, self)

    def reset(self, session_id: str, reason: ResetReason) -> bytes:
        """Return the frame of a reset event."""
        self._measures.resets[reason] += 1
        return reset(self._base, session_id, reason)

    def farewell(self, session: Session) -> bytes:
        """Return the final frame of a closed session: `gone` if it was deleted.

        If it was not, the server ends or the session moves to another node: the page comes back.
        """
        if not session.is_deleted:
            self._closing = True
            return b""
        return passing("gone", GoneEvent(bare(session.session_id)))

    @property
    def _is_over(self) -> bool:
        return False

    def _opening(self) -> bytes:
        return b"".join(self._first) + super()._opening()

    def beat(self) -> int:
        """See `EventPush`. Also send a `list` event if the session list has changed."""
        super().beat()
        count = self._count()
        if self._counted != count and not (self._gone or self._protocol.writing_paused):
            self._counted, self._wrote = count, self._pulse.now
            frame = passing("list", ListEvent())
            self._transport.write(chunk(frame) if self._chunked else frame)
        return 1

    def _last_words(self) -> bytes:
        return EventStream.farewell()

    def _heartbeat(self) -> bytes:
        return passing("heartbeat", heartbeat())
