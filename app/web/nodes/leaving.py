"""Which requests a node has another node handle when it leaves or lacks an engine: those that begin an answer."""

from __future__ import annotations

from aiohttp import web

from app.web.app_keys import HISTORY, OWNER, REGISTRY
from app.web.input import bodies
from app.web.nodes.readable import readable
from app.web.nodes.routes import asks_for_answer


async def begins(request: web.Request, session_id: str) -> bool:
    """Return whether a request has an answer begin at once, in the place of one that runs here, if any.

    Whatever else changes a session leaves that answer alone: a prompt that waits for its end, that is refused, or that
    was accepted before. Raises `HistoryUnavailable`.
    """
    if not await may_begin(request, session_id):
        return False
    return not is_answering(request, session_id) or not await was_accepted(request, session_id)


async def may_begin(request: web.Request, session_id: str) -> bool:
    """Return the same as `begins`, but for a prompt that was accepted before. Without the history."""
    if not asks_for_answer(request):
        return False
    if not is_answering(request, session_id):
        return True
    body = await readable(request)
    return body is not None and body.if_active not in ("enqueue", "reject")


def is_answering(request: web.Request, session_id: str) -> bool:
    """Return whether an answer runs here in a session."""
    session = request.app[REGISTRY].find(session_id)
    return session is not None and session.running is not None


async def was_accepted(request: web.Request, session_id: str) -> bool:
    """Return whether a prompt was accepted before, by any node. Raises `HistoryUnavailable`."""
    key = bodies.idempotency_key(request)
    return (
        key is not None and await request.app[HISTORY].known_key(request[OWNER], session_id, key) is not None
    )
