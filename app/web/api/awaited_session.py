"""Event streams of sessions that do not exist yet: they stay open until the owner sends the first prompt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from app.chat.errors import LeaseLost, SessionNotFound
from app.log.cursors import Cursor
from app.streams.session import Session
from app.web.api.rendered import show
from app.web.api.streams import place
from app.web.app_keys import HISTORY, LIMITS, NODES, OWNER, PASSED, PULSE, REGISTRY
from app.web.events.heartbeat import HeartbeatTimer
from app.web.events.push import EventPush
from app.web.events.response import EventStream
from app.web.events.viewer import heartbeat, refuse


async def exists(request: web.Request, session_id: str) -> bool:
    """Return whether the requesting owner has this session. Another owner's session does not exist to them."""
    try:
        await request.app[HISTORY].session(request[OWNER], session_id)
    except SessionNotFound:
        return False
    return True


class Waiter(EventPush):
    """Holds one response open until its session exists or the client disconnects."""

    def __init__(self, pulse: HeartbeatTimer, find: Callable[[], Session]) -> None:
        super().__init__(pulse)
        self._find = find
        self.session: Session | None = None
        self.told = False  # the session exists, here or on another node
        self.cursor: Cursor | None = None  # just before the session's first event

    def tell(self, cursor: Cursor | None = None) -> None:
        """Report that the session exists. It is looked up now: later the id may belong to another owner."""
        if self.session is None:
            self.told, self.cursor = True, self.cursor or cursor
            with suppress(LeaseLost):  # it is another node's
                self.session = self._find()
            self._wake.set()

    @property
    def gone(self) -> bool:
        """Whether the client has disconnected."""
        return self._gone

    async def hold(self, request: web.Request, response: EventStream) -> None:
        """Send the headers, then only heartbeats. Raises `OwnerEventStreams` before the headers."""
        with self._registered(request, response):
            await self._hold_counted(request, response)

    async def _hold_counted(self, request: web.Request, response: EventStream) -> None:
        writer, transport = await response.prepare(request), request.transport
        if writer is None or transport is None:
            return  # The client has already disconnected.
        self._attach(request, writer, transport)
        self._pulse.add(self)
        try:
            await self._wake.wait()
        finally:
            self._pulse.discard(self)
            self._grant.release(self)

    def _heartbeat(self) -> bytes:
        return EventStream.passing("heartbeat", heartbeat())


async def events_to_come(request: web.Request, session_id: str) -> web.StreamResponse:
    """Answer with the events of a session that did not exist a moment ago, once it does. Raises `TooManyWaiting`."""
    registry, response = request.app[REGISTRY], EventStream()
    waiter = Waiter(request.app[PULSE], lambda: registry.session(session_id))
    with registry.arrivals.wait(
        request[OWNER], session_id, waiter.tell, most=request.app[LIMITS].max_waiting
    ):
        if await exists(request, session_id):  # It began before anybody waited.
            waiter.tell()
        await waiter.hold(request, response)
    session = waiter.session
    if session is None:
        # What another node passed on is never passed on again: that one's client comes back.
        if waiter.told and NODES in request.app and PASSED not in request and not waiter.gone:
            return await request.app[NODES].show_begun(request, response, session_id, waiter.cursor)
        return response  # The client has disconnected, or the session moved.
    after = place(session, waiter.cursor)
    if isinstance(after, str):
        return await refuse(request, response, session_id, after)
    return await show(request, response, session, after)


class Expected:
    """The sessions of a page's event stream. Calls `show` once for each that exists, after the stream has begun."""

    def __init__(self, show: Callable[[str, Cursor | str | None], None]) -> None:
        self._show = show
        self._found: dict[str, Cursor | str | None] = {}
        self._begun = False

    def __repr__(self) -> str:
        return f"<Expected {list(self._found)}{' begun' if self._begun else ''}>"

    def found(self, session_id: str, cursor: Cursor | str | None = None) -> None:
        """Report that a session exists, and the cursor to send it from. Later calls for it are ignored."""
        if session_id not in self._found:
            self._found[session_id] = cursor
            if self._begun:
                self._show(session_id, cursor)

    def begin(self) -> None:
        """Show the sessions found so far; from now on, show sessions as they are found."""
        self._begun = True
        for session_id, cursor in self._found.items():
            self._show(session_id, cursor)
