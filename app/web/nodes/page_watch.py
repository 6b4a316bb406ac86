"""A session of another node on a page's event stream: its events are read there and merged into the one response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from aiohttp import web
from yarl import URL

from app.chat.errors import HistoryUnavailable
from app.chat.scoped_ids import bare
from app.cluster.moves import pauses
from app.cluster.ports import Lease
from app.log.cursors import Cursor
from app.tasks.reports import report
from app.web.app_keys import BASE
from app.web.events.heartbeat import PAGE_HEARTBEAT
from app.web.events.live_viewer import Watched
from app.web.nodes.frames import Content, frames
from app.web.nodes.outgoing import outgoing
from app.web.nodes.peers import BROKEN, NotBelieved, Refused, Unreachable

if TYPE_CHECKING:
    from app.web.nodes.nodes import Nodes

MOST_BYTES = 64 * 1024  # that wait for the client; beyond it the other node waits, too
SILENCE_SECONDS = 2.5 * PAGE_HEARTBEAT
LEEWAY = 4.0  # s beyond a node's time to live, after which the page has to come back
OWN_EVENTS = frozenset({"heartbeat", "list"})  # of the other node's response: this one has its own
LAST_EVENTS = frozenset({"gone", "reset"})  # nothing of the session follows them


class Viewer(Protocol):
    """The response of a page."""

    def look(self) -> None:
        """Wake up and read."""
        ...

    def drop(self, watch: Watched) -> None:
        """Stop watching a session."""
        ...

    def make_room(self) -> None:
        """Much waits for the client. The response may be cut for that."""
        ...

    def close(self) -> None:
        """Finish the response: the page comes back."""
        ...


class PageWatch:
    """See `Watched`. It follows the session from owner to owner, from the last cursor that it has seen."""

    def __init__(
        self,
        nodes: Nodes,
        viewer: Viewer,
        request: web.Request,
        session_id: str,
        cursor: Cursor | str | None,
        come: Callable[[Cursor], None],
    ) -> None:
        self._session_id = session_id
        self._nodes = nodes
        self._viewer = viewer
        self._request = request
        self._cursor = "" if cursor is None else str(cursor)
        self._come = come
        self._waiting: list[bytes] = []
        self._size = 0
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<PageWatch {self._session_id} at={self._cursor} waiting={self._size}>"

    # ---- for the viewer --------------------------------------------------------------------------------------

    @property
    def lag(self) -> int:
        """See `Watched`. What has arrived here is little more than `MOST_BYTES`."""
        return 0

    @property
    def unread(self) -> int:
        """See `Elsewhere`."""
        return self._size

    def enter(self) -> None:
        """See `Watched`."""
        self._task = self._nodes.watch(self._run(), f"watch {self._session_id}")

    def leave(self) -> None:
        """See `Watched`."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def read(self) -> bytes:
        """See `Watched`."""
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        self._room.set()
        return data

    def follow(self) -> None:
        """See `Watched`: what comes wakes the viewer anyway."""
        if self._waiting:
            self._viewer.look()

    def unfollow(self) -> None:
        """See `Watched`."""

    # ---- reading ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._follow_owners()
        except Exception as error:  # noqa: BLE001 - it is reported, and the page comes back
            report("the events of another node could not be merged", error)
            self._viewer.close()

    async def _follow_owners(self) -> None:
        owners, most = self._nodes.cluster.owners, self._nodes.cluster.ttl + LEEWAY
        until = self._loop.time() + most
        waited_for: int | None = None  # the epoch of the first owner that was not reached
        over: int | None = None  # the epoch to take the session from
        waiting = pauses()
        while not self._nodes.sources.is_closed:
            lease: Lease | None = None
            try:
                lease = await owners.owner(self._session_id, over=over)
                if lease.node.id == owners.node.id:
                    await self._arrive()
                    return
                async with self._reading(lease) as content:
                    waited_for, waiting = lease.epoch, pauses()
                    try:
                        if await self._take_all(content):
                            return
                    finally:
                        until = self._loop.time() + most  # until now it was reached
            except (Refused, HistoryUnavailable, NotBelieved, Unreachable, *BROKEN):
                pass  # the next look at the lease tells what to do
            if waited_for is None and lease is not None:
                waited_for = lease.epoch
            if self._loop.time() >= until:
                # An owner that lives, but cannot be reached, has been waited for.
                if over is not None or lease is None or lease.epoch != waited_for:
                    break
                if not await self._nodes.reach.may_take(lease):
                    break
                over = lease.epoch
            await self._nodes.cluster.moves.wait(self._session_id, next(waiting))
        self._viewer.close()

    async def _arrive(self) -> None:
        """The session is this node's now."""
        await self._taken()
        self._viewer.drop(self)
        cursor = Cursor.parse(self._cursor)
        if cursor is None:
            self._viewer.close()  # it may not exist yet; the page comes back and waits for it
        else:
            self._come(cursor)

    @asynccontextmanager
    async def _reading(self, lease: Lease) -> AsyncIterator[Content]:
        address = URL(self._request.app[BASE] + "/events").with_query(
            watch=f"{bare(self._session_id)}:{self._cursor}"
        )
        sent = outgoing(self._request, address)
        sent.headers.popall("Last-Event-ID", None)
        upstream = await self._nodes.peers.send(lease, sent)
        with self._nodes.sources.reading(upstream, lease, SILENCE_SECONDS) as source:
            if upstream.status != 200:
                raise Unreachable(f"status {upstream.status}")
            yield source

    async def _take_all(self, content: Content) -> bool:
        """Give the events to the viewer until the response ends; return whether the page needs no more of them."""
        async with aclosing(frames(content)) as found:
            async for frame in found:
                if frame.event in OWN_EVENTS or not frame.event:
                    continue
                self._cursor = frame.cursor or self._cursor
                self._waiting.append(frame.data)
                self._size += len(frame.data)
                self._viewer.look()
                if frame.event in LAST_EVENTS:
                    await self._taken()
                    self._viewer.drop(self)
                    return True
                if self._size > MOST_BYTES:
                    self._viewer.make_room()
                    await self._taken()
        return False

    async def _taken(self) -> None:
        """Return once the viewer has read what waits. Its response bounds how long its client may take."""
        while self._waiting:
            self._room.clear()
            await self._room.wait()
