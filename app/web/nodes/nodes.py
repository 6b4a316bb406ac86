"""Finds the node for each request, and takes a session over from one that leaves a request unanswered."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from app.chat.errors import (
    BeingDeleted,
    DiskFull,
    HistoryUnavailable,
    LeaseLost,
    NothingToRestore,
    SessionNotFound,
    TailraceError,
)
from app.chat.ports import Logger
from app.cluster.cluster import LIST_CHANGED, OWNER_CHANGED, Cluster
from app.cluster.moves import pauses
from app.cluster.ports import UNOWNED, Lease
from app.log.cursors import Cursor
from app.web.api.awaited_session import exists
from app.web.api.streams import check_prompt
from app.web.app_keys import (
    BODY,
    HISTORY,
    KEY,
    LIMITS,
    LISTS,
    NODES,
    PASSED,
    REGISTRY,
    TURN,
)
from app.web.events.response import EventStream
from app.web.input import reading
from app.web.nodes import receiving, unfinished
from app.web.nodes.begun import Begun, show_begun
from app.web.nodes.leaving import begins, is_answering, may_begin, was_accepted
from app.web.nodes.outgoing import outgoing
from app.web.nodes.overviews import Survey
from app.web.nodes.own_address import OwnAddress
from app.web.nodes.page_watch import PageWatch, Viewer
from app.web.nodes.passing import pass_back
from app.web.nodes.peers import (
    ANSWERING,
    MOVED,
    UNABLE,
    WHY,
    Answering,
    Broken,
    NotBelieved,
    Peers,
    Refused,
    Unable,
    Unreachable,
)
from app.web.nodes.reach import Reach
from app.web.nodes.readable import readable
from app.web.nodes.repeated import done_before
from app.web.nodes.routes import Need, asks_for_answer, need_of, session_of, stops
from app.web.nodes.signature import NO_SESSION
from app.web.nodes.sources import Sources
from app.web.problems import RETRY_AFTER, ProblemError

MOST_MOVES = 8  # of a session while a request looks for it
PAUSE_SECONDS = 0.05  # before the second look at a lease; it grows with each
SILENCES = 2.5  # heartbeat intervals without a byte, after which an owner node is taken for gone
END_SECONDS = 1.0  # for reading tasks at the end
LEEWAY = 2.0  # s, beyond the time to live of a node, in which its sessions are taken over


class Nodes:
    """Passes requests on to the nodes that own their sessions. `heartbeat` is the interval of all nodes, in seconds."""

    def __init__(self, cluster: Cluster, *, heartbeat: float, logger: Logger) -> None:
        self.cluster = cluster
        self.sources = Sources(cluster.peers)
        self.silence = SILENCES * heartbeat
        self.peers = Peers(
            secret=cluster.secret,
            sender=lambda: cluster.owners.node,
            patience=cluster.patience,
            now=cluster.now,
        )
        self.reach = Reach(self.peers, cluster.peers)
        self.own_address = OwnAddress(self.peers, lambda: cluster.owners.node, logger)
        self._survey = Survey(self.peers, cluster.peers, cluster.expired)
        self.forwarded = 0  # requests that were passed on
        self._logger = logger
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Nodes {self.cluster.owners.node.id} {self.sources!r}>"

    def join(self, app: web.Application) -> None:
        """Serve an application: its pages, its list of sessions, and its end."""
        app[NODES] = self
        hints, lists = self.cluster.hints, app[LISTS]
        lists.tell = lambda owner: hints.send(LIST_CHANGED, owner)
        hints.listen(LIST_CHANGED, lists.heard)
        hints.listen(OWNER_CHANGED, self._moved)
        begun = Begun(app[REGISTRY].arrivals, app[HISTORY], hints, self.cluster.owners)

        async def look(_: web.Application) -> None:
            self.watch(begun.keep_looking(), "look for sessions")

        app.on_startup.append(look)
        app.on_shutdown.append(self._leave)
        app.on_cleanup.append(self._close)

    def _moved(self, session_id: str, epoch: str) -> None:
        self.sources.moved(session_id, int(epoch))
        self.cluster.moves.told(session_id)

    def joined(self) -> None:
        """Find out whether this node, which listens and has joined, is where the others look for it."""
        self.watch(self.own_address.keep_asking(), "ask for this node")

    async def _leave(self, _: web.Application) -> None:
        self.sources.close()

    async def _close(self, _: web.Application) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_SECONDS)
        await self._survey.close()
        await self.reach.close()
        await self.peers.close()

    @property
    def let_peers_in(self) -> Middleware:
        """The middleware that lets requests in that another node has signed."""
        return receiving.middleware(self.cluster.secret, lambda: self.cluster.owners.node, self.cluster.now)

    @property
    def find_owner(self) -> Middleware:
        """The middleware that handles a request here, or has the session's owner do it."""

        @web.middleware
        async def find_owner(request: web.Request, handler: Handler) -> web.StreamResponse:
            if PASSED in request:
                if request[PASSED].session == NO_SESSION:
                    return await handler(request)
                return await self._for_peer(request, handler)
            need = need_of(request)
            if need is None:
                return await handler(request)
            session_id = await session_of(request)
            if session_id is None or await _is_refused(request, session_id) or not await _take_body(request):
                return await handler(request)
            return await _Search(self, request, handler, session_id, need).run()

        return find_owner

    async def operations(
        self, request: web.Request, address: str, *, patience: float, age: float = 0.0
    ) -> dict[str, Any]:
        """Return how this node is and, unless a peer asks, what the others answer to a GET of `address`, as JSON.

        They answer for themselves alone. For `patience` and `age`, in seconds, see `Survey.ask`.
        """
        node, owners = self.cluster.owners.node, self.cluster.owners
        own = {
            "node": {
                "id": node.id,
                "url": node.url,
                "owned": len(owners),
                "trouble": list(self.cluster.trouble()),
            }
        }
        if PASSED in request:
            return own
        answers = await self._survey.ask(request, address, patience=patience, age=age)
        return {**own, "peers": [answer.as_json() for answer in answers]}

    async def owner_of(
        self, request: web.Request, session_id: str, *, over: int | None = None
    ) -> Lease | None:
        """Return whose a session is, after taking it if it exists and nobody has it; `None` if it does not exist.

        An id that somebody made up costs no lease and no log. `over` is the epoch to take it from. Raises
        `HistoryUnavailable`.
        """
        owners = self.cluster.owners
        if over is None and not owners.holds(session_id):
            found = await owners.find(session_id)
            # A lease of this node's that it does not know of is taken anew, as after a lost reply.
            if found is not None and found.alive and found.node.id != owners.node.id:
                return found
            if found is None and not await exists(request, session_id):
                return None
        return await owners.owner(session_id, over=over)

    async def is_elsewhere(self, request: web.Request, session_id: str) -> bool:
        """Return whether another node owns a session. Raises `HistoryUnavailable`."""
        try:
            lease = await self.owner_of(request, session_id)
        except LeaseLost:
            return True
        return lease is not None and lease.node.id != self.cluster.owners.node.id

    async def show_begun(
        self, request: web.Request, response: EventStream, session_id: str, cursor: Cursor | None
    ) -> web.StreamResponse:
        """Go on with a response that has waited for a session of another node; see `begun.show_begun`."""
        return await show_begun(self, request, response, session_id, cursor)

    def page_watch(
        self,
        request: web.Request,
        viewer: Viewer,
        session_id: str,
        cursor: Cursor | str | None,
        come: Callable[[Cursor], None],
    ) -> PageWatch:
        """Return a session of another node, for a page's event stream. `come` is called if it becomes this node's."""
        return PageWatch(self, viewer, request, session_id, cursor, come)

    def watch(self, reading: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start to read for a page. The page's response cancels it."""
        task = asyncio.get_running_loop().create_task(reading, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _for_peer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Handle a request that another node passed on, if this node owns the session. It is never passed on."""
        passed = request[PASSED]
        try:
            await self.make_way(request, passed.session)
            if await self._owns(passed.session, passed.epoch):
                self.stopped(request, passed.session)
                return await handler(request)
        except LeaseLost:
            pass  # while it was handled; nothing was written
        except (BeingDeleted, DiskFull):
            raise  # any other node would be refused, too
        except HistoryUnavailable:
            if not await may_begin(request, passed.session):
                raise  # the answer that runs here goes on
            return refused(ANSWERING if is_answering(request, passed.session) else UNABLE)
        return refused()

    async def _owns(self, session_id: str, epoch: int) -> bool:
        """Return whether this node owns a session under an epoch. Raises `HistoryUnavailable`."""
        owners = self.cluster.owners
        if epoch == UNOWNED:
            return (await owners.owner(session_id)).node.id == owners.node.id
        if not owners.holds(session_id, epoch) and owners.is_sure:
            # It may be taking the session right now. Or PostgreSQL says that it has a lease which it does not know of,
            # as after a lost reply: then it takes it anew, under the next epoch, which its sender finds at once.
            with suppress(HistoryUnavailable):
                await owners.owner(session_id)
        return owners.holds(session_id, epoch)

    async def make_way(self, request: web.Request, session_id: str) -> None:
        """Give a session up for an answer that is to begin, if this node leaves. Raises `HistoryUnavailable`."""
        owners = self.cluster.owners
        if not owners.claiming and owners.holds(session_id) and await begins(request, session_id):
            await owners.give(session_id, wait=self.cluster.patience)

    def stopped(self, request: web.Request, session_id: str) -> None:
        """Note that a session's answer is not to be continued here, if a request stops it."""
        if stops(request):
            self.cluster.forget(session_id)

    def report(self, lease: Lease, error: Exception) -> None:
        """Log that a node could not be asked."""
        self._logger.warning(
            "node_unreachable",
            node=lease.node.id,
            session=lease.session,
            reason=str(error) or type(error).__name__,
        )


class _Search:
    """One request on its way to the owner of its session."""

    def __init__(
        self, nodes: Nodes, request: web.Request, handler: Handler, session_id: str, need: Need
    ) -> None:
        self._nodes = nodes
        self._owners = nodes.cluster.owners
        self._request = request
        self._handler = handler
        self._session_id = session_id
        self._need = need
        self._over: int | None = None  # the epoch to take the session from
        self._is_repeated = False  # a node that gave no answer may have done what was asked
        self._refused: set[str] = set()  # nodes that do not take the session, such as ones that leave, too
        self._waited_for: int | None = None  # the epoch of the first owner that a reader has not reached
        self._loop = asyncio.get_running_loop()
        self._until = 0.0  # loop time for which a reader waits for that owner
        self._pauses = pauses()

    async def run(self) -> web.StreamResponse:
        moves, lease = 0, None
        await self._prepare()
        latest = self._loop.time() + self._nodes.cluster.ttl + LEEWAY  # for when the engines are slow
        while moves < MOST_MOVES:
            try:
                lease = await self._lease()
                if lease is None or lease.node.id == self._owners.node.id:
                    return await self._here(lease, has_moved=moves > 0)
                try:
                    return await self._answered(self._passed_on(lease))
                except Unreachable as error:
                    self._is_repeated = True
                    self._nodes.report(lease, error)
                    moves += await self._without(lease, error)
                except Unable as error:
                    await self._begin_here(lease, error)
                    moves += 1
                except NotBelieved as error:
                    self._nodes.report(lease, error)
                    raise unreachable() from error
            except (Refused, LeaseLost):  # nothing was written
                moves += 1
                if lease is not None and lease.epoch == UNOWNED:
                    self._refused.add(lease.node.id)
                if self._loop.time() >= latest:
                    break
                await asyncio.sleep(PAUSE_SECONDS * moves)
        if lease is not None and lease.epoch == UNOWNED:
            raise HistoryUnavailable("No server can take this chat at the moment. Try again soon.")
        raise unreachable()

    async def _prepare(self) -> None:
        if self._need is Need.WRITE and not self._owners.holds(self._session_id):
            await unfinished.note(self._request, self._session_id)
        if asks_for_answer(self._request) and "Idempotency-Key" not in self._request.headers:
            self._request[KEY] = secrets.token_urlsafe(16)  # it may be tried again, here or elsewhere

    async def _here(self, lease: Lease | None, *, has_moved: bool) -> web.StreamResponse:
        """Handle the request at this node."""
        if lease is not None:
            self._nodes.sources.moved(lease.session, lease.epoch)  # hints are for the other nodes
        if has_moved and (turn := self._request.get(TURN)) is not None and not _is_write(self._request):
            await turn.take()  # it was given back for the node that was asked before
        self._nodes.stopped(self._request, self._session_id)
        return await self._answered(self._handler(self._request))

    async def _answered(self, answering: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        """Return the response, unless it is that there is nothing left to do because a node has done it."""
        try:
            response = await answering
        except (SessionNotFound, NothingToRestore):
            done = await self._done_before()
            if done is None:
                raise
            return done
        if response.status != 404 or response.prepared:
            return response
        done = await self._done_before()
        return response if done is None else done

    async def _done_before(self) -> web.StreamResponse | None:
        return await done_before(self._request, self._session_id) if self._is_repeated else None

    async def _lease(self) -> Lease | None:
        """Return whose the session is; `None` if this node answers without owning it."""
        if self._need is Need.WRITE:
            await self._nodes.make_way(self._request, self._session_id)
        over, self._over = self._over, None
        try:
            if self._need in (Need.EVENTS, Need.CURSOR):
                return await self._nodes.owner_of(self._request, self._session_id, over=over)
            if over is None and await self._looks_first():
                found = await self._owners.find(self._session_id)
                is_own = found is not None and found.node.id == self._owners.node.id
                if found is not None and found.alive and not (is_own and self._need is Need.WRITE):
                    return found
                # An id that somebody made up costs no lease and no log.
                if found is None and (
                    self._need is Need.READ
                    or asks_for_answer(
                        self._request
                    )  # unreadable, or this would not have been looked at first
                    or not await exists(self._request, self._session_id)
                ):
                    return None
            return await self._owners.owner(self._session_id, over=over, avoid=self._refused)
        except LeaseLost:
            raise
        except HistoryUnavailable:
            if self._need is Need.CURSOR:
                return None  # such as without Redis: what is stored can be read all the same
            raise

    async def _looks_first(self) -> bool:
        """Return whether the request may be answered without an owner. The usual prompt costs no look for that."""
        if self._owners.holds(self._session_id):
            return False
        return not asks_for_answer(self._request) or await readable(self._request) is None

    async def _without(self, lease: Lease, error: Unreachable) -> int:
        """Decide what to do without the owner. Return 1 if that counts as a move of the session."""
        if self._need is Need.WRITE:
            self._over = lease.epoch or None
            return 1
        # If it is dead, its lease runs out meanwhile.
        if self._waited_for is None:
            self._waited_for = lease.epoch
            self._until = self._loop.time() + self._nodes.cluster.ttl + LEEWAY
        if self._loop.time() <= self._until:
            await self._nodes.cluster.moves.wait(self._session_id, next(self._pauses))
            return 0
        # It lives, but cannot be reached: it was the owner all the time.
        if lease.epoch != self._waited_for or not await self._nodes.reach.may_take(lease):
            raise unreachable() from error
        self._over = lease.epoch
        return 1

    async def _begin_here(self, lease: Lease, error: Unable) -> None:
        """Decide to answer a prompt here: with both engines that need not wait until its owner has them again.

        Raises a 503 if it was accepted before, `HistoryUnavailable`.
        """
        if isinstance(error, Answering) and await was_accepted(self._request, self._session_id):
            raise unreachable() from error  # the answer that runs there goes on
        await self._owners.log_ready(self._session_id)
        self._over = lease.epoch or None

    async def _passed_on(self, lease: Lease) -> web.StreamResponse:
        if (turn := self._request.get(TURN)) is not None:
            turn.give_back()  # the owner node has its own; this one may wait for it
        try:
            return await self._asked(lease)
        except Broken:
            if not await self._nodes.peers.lives(lease.node):
                raise
        # Its running answer must not end for one lost connection. Nothing is done twice: a prompt has a key.
        self._is_repeated = True
        return await self._asked(lease)

    async def _asked(self, lease: Lease) -> web.StreamResponse:
        request = self._request
        upstream = await self._nodes.peers.send(lease, outgoing(request, request.rel_url))
        self._nodes.forwarded += 1
        return await pass_back(request, upstream, lease, self._nodes.sources, self._nodes.silence)


def refused(why: str = MOVED) -> web.Response:
    """Return the response to a node for which nothing was done; mostly its lease is out of date (RFC 9110, 15.5.20)."""
    return web.Response(status=421, headers={WHY: why})


def _is_write(request: web.Request) -> bool:
    return request.method not in (hdrs.METH_GET, hdrs.METH_HEAD)


async def _is_refused(request: web.Request, session_id: str) -> bool:
    """Return whether a prompt is refused whatever is in it, which the handler tells."""
    if not asks_for_answer(request):
        return False
    try:
        await check_prompt(request, session_id)
    except (ProblemError, TailraceError):
        return True
    return False


async def _take_body(request: web.Request) -> bool:
    """Read the body, so that it can be sent more than once. False: it is too long, which the handler tells."""
    if not _is_write(request) or BODY in request:
        return True
    most = request.app[LIMITS].max_body_bytes
    if (request.content_length or 0) > most:
        return False
    request[BODY] = bytes(await reading.read(request, most))
    return True


def unreachable() -> ProblemError:
    """Return the problem of a session whose owner cannot be asked."""
    return ProblemError(
        503,
        "node_unreachable",
        "The server that has this chat isn't responding. Try again in a moment.",
        headers={"Retry-After": RETRY_AFTER},
    )
