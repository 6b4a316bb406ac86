"""Sends requests to other nodes. A node that leaves a request unanswered is asked whether it lives at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from app.chat.scoped_ids import LOCAL
from app.cluster.ports import Lease, Node
from app.tasks.timeouts import within
from app.web.nodes.outgoing import Outgoing
from app.web.nodes.signature import NO_SESSION

# In a response to a request that was passed on: why the owner node did not handle it.
WHY = "Tailrace-Peer"
MOVED, UNKNOWN = "moved", "unknown"  # it does not own the session; it does not believe the signature
UNABLE = "unable"  # it owns the session, and cannot begin an answer: PostgreSQL or Redis is away for it
ANSWERING = "answering"  # likewise, and an answer runs there that only a new prompt may end
ANOTHER = "another"  # it is not the node that the request was signed for
NAME = "Tailrace-Node"  # in a response to a signed request for `ALIVE`: the id of the node

ALIVE = "/healthz"
LONGEST_SECONDS = (
    120.0  # that a node which lives may take to answer, such as for the list of a slow model server
)
IDLE_SECONDS = 15.0  # that a connection is kept without a request; the other side keeps it for longer
PIECE = 64 * 1024  # bytes of a response that are read ahead
# A connection that was lost between the headers and the first read, of aiohttp: `RuntimeError("Connection closed.")`.
BROKEN = (aiohttp.ClientError, OSError, RuntimeError)


class Unreachable(Exception):
    """The node gave no answer. It may have done what was asked, or do it later."""


class Broken(Unreachable):
    """The connection was lost. The node may live, and may have done what was asked."""


class Refused(Exception):
    """The node answered that it does not own the session under this epoch, so it has done nothing."""


class Unable(Exception):
    """The node owns the session and lives, but PostgreSQL or Redis is away for it, so it begins no answer."""


class Answering(Unable):
    """An answer runs there, which ends for a new prompt alone. The node cannot tell whether this is one."""


class NotBelieved(Exception):
    """The node does not believe this node's signatures: most likely it has another database."""


class Peers:
    """The client to all other nodes. `patience` is how long a node may leave a request unanswered, in seconds.

    `sender` returns this node.
    """

    def __init__(
        self,
        *,
        secret: bytes,
        sender: Callable[[], Node],
        patience: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._sender = sender
        self._patience = patience
        self._now = now
        self._client: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<Peers {'open' if self._client is not None else 'unused'}>"

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def send(self, lease: Lease, outgoing: Outgoing) -> aiohttp.ClientResponse:
        """Send a request to the owner node; return its response once the headers are there. The caller closes it.

        Raises `Unreachable` after `patience`, or at once if nobody listens there or the node was started anew;
        `Broken`, `Refused`, `Unable`, `Answering`, `NotBelieved`.
        """
        response = await self._answered(lease.node, outgoing, self._headers(lease, outgoing))
        why = response.headers.get(WHY)
        if why is None:
            return response
        response.close()
        if why == ANOTHER:
            raise Unreachable("another node has its address now")
        raise {MOVED: Refused, UNABLE: Unable, ANSWERING: Answering}.get(why, NotBelieved)

    def _headers(self, lease: Lease, outgoing: Outgoing) -> CIMultiDict[str]:
        return outgoing.signed(self._secret, lease, self._sender().id, self._now())

    async def _answered(
        self, node: Node, outgoing: Outgoing, headers: CIMultiDict[str]
    ) -> aiohttp.ClientResponse:
        task = asyncio.get_running_loop().create_task(
            self._request(node, outgoing, headers), name=f"request to {node.id}"
        )
        is_taken = False
        try:
            await self._settle(task, node)
            response = task.result()
        except BROKEN as error:
            raise lost(error) from error
        else:
            is_taken = True
            return response
        finally:
            if not is_taken:
                await _given_up(task)

    async def _settle(self, task: asyncio.Task[aiohttp.ClientResponse], node: Node) -> None:
        """Wait for a request for as long as its node lives. Raises `Unreachable`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST_SECONDS
        while not task.done():
            asked = loop.time()
            await asyncio.wait({task}, timeout=self._patience / 2)
            if task.done():
                return
            if loop.time() > until or not await self._lives(node, asked + self._patience - loop.time()):
                raise Unreachable("timeout")

    async def _request(
        self, node: Node, outgoing: Outgoing, headers: CIMultiDict[str]
    ) -> aiohttp.ClientResponse:
        return await self._session().request(
            outgoing.method,
            URL(node.url + outgoing.address, encoded=True),
            headers=headers,
            data=outgoing.body or None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            middlewares=() if outgoing.method in (hdrs.METH_GET, hdrs.METH_HEAD) else (_once,),
        )

    async def lives(self, node: Node) -> bool:
        """Return whether a node answers at all, within `patience`."""
        return await self._lives(node, self._patience)

    async def reaches(self, node: Node) -> bool:
        """Return whether `node` answers at its address, within `patience`, and not another server."""
        try:
            await self.meet(node)
        except (Unreachable, NotBelieved):
            return False
        return True

    async def meet(self, node: Node) -> None:
        """Return once `node` has answered at its address. Raises `Unreachable` after `patience`, `NotBelieved`."""
        try:
            await within(self._patience, self._meet(node))
        except TimeoutError as error:
            raise Unreachable("timeout") from error
        except BROKEN as error:
            raise lost(error) from error

    async def _meet(self, node: Node) -> None:
        asked = Outgoing(hdrs.METH_GET, ALIVE, CIMultiDict(), b"", LOCAL, "")
        headers = self._headers(Lease(NO_SESSION, node, 0, True), asked)
        response = await self._request(node, asked, headers)
        try:
            why = response.headers.get(WHY, "")
            if why == ANOTHER:
                raise Unreachable("another node has this address")
            if why == UNKNOWN:
                raise NotBelieved(
                    "a node there does not accept this node's requests: it has another database"
                )
            if response.headers.get(NAME) != node.id:
                raise Unreachable("another server has this address")
        finally:
            response.close()

    async def _lives(self, node: Node, patience: float) -> bool:
        """Return whether a node answers at all. One that is paused does not, though the system takes connections."""
        try:
            return await within(patience, self._health(node))
        except (TimeoutError, *BROKEN):
            return False

    async def _health(self, node: Node) -> bool:
        async with self._session().get(URL(node.url + ALIVE, encoded=True)) as response:
            return response.status == 200

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                # Each viewer of a session that another node owns holds a connection.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._patience),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=PIECE,
            )
        return self._client


def lost(error: Exception) -> Unreachable:
    """Return what an error of `BROKEN` means: `Broken`, unless nobody listens there or the time is over."""
    is_refused = isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, ConnectionRefusedError
    )
    kind = Unreachable if is_refused or isinstance(error, TimeoutError) else Broken
    return kind(str(error) or type(error).__name__)


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a write once. By itself aiohttp repeats a DELETE; whether a node may have got it twice has to be known."""
    try:
        return await handler(request)
    except BROKEN as error:
        raise lost(error) from error


async def _given_up(task: asyncio.Task[aiohttp.ClientResponse]) -> None:
    """End a request that nobody waits for any more. Its response, if there was one at last, is closed."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled() and task.exception() is None:
        task.result().close()
