"""Sessions that begin on another node while somebody waits for them here, which takes no lease.

The owner of a new session tells all nodes, by a hint. Hints may be lost, so what is waited for is looked up, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from app.chat.errors import HistoryUnavailable, LeaseLost, Refused
from app.chat.records import History
from app.chat.scoped_ids import owner_of
from app.cluster.cluster import SESSION_BEGUN, Hints, Owners
from app.cluster.moves import pauses
from app.log.cursors import Cursor
from app.tasks.reports import report
from app.web.api.rendered import show
from app.web.api.streams import place
from app.web.app_keys import PULSE, REGISTRY
from app.web.events.response import EventStream
from app.web.events.viewer import refuse
from app.web.nodes.outgoing import outgoing
from app.web.nodes.passing import EVENTS, PassedResponse
from app.web.nodes.peers import BROKEN, NotBelieved, Unreachable
from app.web.nodes.peers import Refused as NotThere

if TYPE_CHECKING:
    from app.cluster.ports import Lease
    from app.web.nodes.nodes import Nodes

LOOK_SECONDS = 5.0  # between two looks for what is waited for
LOOKS = 64  # sessions that are looked up at a time: of more, each is looked up less often
LEEWAY = 4.0  # s beyond a node's time to live, after which the client has to come back


class Waiters(Protocol):
    """Those who wait for sessions at this node. `app.streams.arrivals.Arrivals` is one."""

    tell_nodes: Callable[[str, Cursor | None], None]

    def awaited(self) -> list[tuple[str, str]]:
        """Return the sessions that somebody waits for, with their owners."""
        ...

    def tell(self, owner: str, session_id: str, cursor: Cursor | None = None) -> None:
        """Notify those who wait for a session that it exists."""
        ...


class Begun:
    """Tells the other nodes which sessions begin here, and those who wait here which begin there."""

    def __init__(self, arrivals: Waiters, history: History, hints: Hints, owners: Owners) -> None:
        self._arrivals = arrivals
        self._history = history
        self._hints = hints
        self._owners = owners
        self._looked: set[tuple[str, str]] = set()  # in this round
        arrivals.tell_nodes = self._tell
        hints.listen(SESSION_BEGUN, self._heard)

    def __repr__(self) -> str:
        return f"<Begun {self._arrivals!r}>"

    def _tell(self, session_id: str, cursor: Cursor | None) -> None:
        self._hints.send(SESSION_BEGUN, session_id, "" if cursor is None else str(cursor))

    def _heard(self, session_id: str, cursor: str) -> None:
        self._arrivals.tell(owner_of(session_id), session_id, Cursor.parse(cursor))

    async def keep_looking(self) -> None:
        """Look for sessions whose hints were lost, for as long as the node runs."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except HistoryUnavailable:
                continue  # the history has logged it
            except Exception as error:  # noqa: BLE001 - it is reported, and tried again
                report("sessions that are waited for could not be looked up", error)

    async def look(self) -> None:
        """Look for up to `LOOKS` sessions that are waited for, in turn. Raises `HistoryUnavailable`."""
        # Those of this node tell by themselves.
        awaited = [place for place in self._arrivals.awaited() if not self._owners.holds(place[1])]
        self._looked &= set(awaited)
        some = [place for place in awaited if place not in self._looked][:LOOKS]
        if not some:
            self._looked.clear()
            some = awaited[:LOOKS]
        for owner, session_id in some:
            self._looked.add((owner, session_id))
            if await self._exists(owner, session_id):
                self._arrivals.tell(owner, session_id)

    async def _exists(self, owner: str, session_id: str) -> bool:
        try:
            return await self._history.check(owner, session_id)
        except HistoryUnavailable:
            raise
        except Refused:
            return False  # it is another owner's


async def show_begun(
    nodes: Nodes, request: web.Request, response: EventStream, session_id: str, cursor: Cursor | None
) -> web.StreamResponse:
    """Go on with a response that has waited for a session, which has begun on another node.

    It ends if the session's owner cannot be reached for too long: its client comes back.
    """
    loop, owners = asyncio.get_running_loop(), nodes.cluster.owners
    until = loop.time() + nodes.cluster.ttl + LEEWAY
    waiting = pauses()
    while loop.time() < until and not nodes.sources.is_closed:
        try:
            lease = await nodes.owner_of(request, session_id)
            if lease is None:
                return response  # it is gone already
            if lease.node.id != owners.node.id:
                return await _passed_on(nodes, request, response, lease, cursor)
            session = request.app[REGISTRY].session(session_id)
            after = place(session, cursor or Cursor(session.log.epoch, 0))
            if isinstance(after, str):
                return await refuse(request, response, session_id, after)
            return await show(request, response, session, after)
        except (LeaseLost, HistoryUnavailable, NotThere, NotBelieved, Unreachable, *BROKEN):
            pass  # the next look at the lease tells what to do
        await nodes.cluster.moves.wait(session_id, next(waiting))
    return response


async def _passed_on(
    nodes: Nodes, request: web.Request, response: EventStream, lease: Lease, cursor: Cursor | None
) -> web.StreamResponse:
    # Without a hint nobody knows where the session began in its log; it cannot have been before the first event.
    after = str(cursor or Cursor(lease.epoch, 0))
    address = request.rel_url.update_query(after=after)
    upstream = await nodes.peers.send(lease, outgoing(request, address))
    nodes.forwarded += 1
    with nodes.sources.reading(upstream, lease, nodes.silence) as source:
        if upstream.status != 200 or upstream.content_type not in EVENTS:
            raise Unreachable(f"status {upstream.status}")
        return await PassedResponse(source, request.app[PULSE]).go_on(request, response)
