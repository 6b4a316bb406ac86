"""Lets requests in that another node has signed: it has checked host, origin and access, and says whose they are."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from app.cluster.ports import Node
from app.web.app_keys import BODY, GRANT, LIMITS, OWNER, PASSED, UNFINISHED
from app.web.grants import Grant
from app.web.http.incoming import Incoming
from app.web.input import reading
from app.web.nodes.peers import ALIVE, ANOTHER, NAME, UNKNOWN, WHY
from app.web.nodes.signature import HEADER, NO_SESSION, Passed, Target, digest, verified
from app.web.problems import ProblemError


def middleware(
    secret: bytes, receiver: Callable[[], Node], now: Callable[[], float] = time.time
) -> Middleware:
    """Return the middleware. A request whose signature is wrong is a stranger's, and goes no further.

    `receiver` returns this node.
    """

    @web.middleware
    async def let_peers_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        text = request.headers.get(HEADER)
        if text is None:
            return await handler(request)
        passed = verified(secret, text, _target(request), now())
        if passed is None:
            raise _stranger()
        if passed.receiver != receiver().id:  # an earlier node at this address, or somebody sent it again
            return web.Response(status=421, headers={WHY: ANOTHER})
        if passed.session == NO_SESSION and request.path == ALIVE:
            return web.Response(headers={NAME: passed.receiver})  # no other server says that
        request[PASSED] = passed
        request[OWNER] = passed.owner
        request[UNFINISHED] = passed.unfinished
        # It ends where the client was let in. About itself a node is asked for admins alone.
        request[GRANT] = Grant(passed.owner, is_admin=passed.session == NO_SESSION)
        if isinstance(request.protocol, Incoming):
            request.protocol.let_in_peer()
        try:
            await _read_body(request, passed)
            return await handler(request)
        finally:
            reading.release(request)

    return let_peers_in


def _target(request: web.Request) -> Target:
    sent = request.headers
    return Target(
        request.method,
        str(request.rel_url),
        sent.get(hdrs.CONTENT_TYPE, ""),
        sent.get("Idempotency-Key", ""),
    )


async def _read_body(request: web.Request, passed: Passed) -> None:
    body = b""
    if request.body_exists:
        body = bytes(await reading.read(request, request.app[LIMITS].max_body_bytes))
    if digest(body) != passed.digest:
        raise _stranger()
    request[BODY] = body


def _stranger() -> ProblemError:
    return ProblemError(
        401,
        "peer_unknown",
        f"The signature in {HEADER} isn't valid. Only nodes of this cluster may send one.",
        headers={"WWW-Authenticate": "Peer", WHY: UNKNOWN},
    )
