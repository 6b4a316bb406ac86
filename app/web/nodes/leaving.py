"""Which requests a node that leaves has another node handle: those that begin an answer."""

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
    if not asks_for_answer(request):
        return False
    session = request.app[REGISTRY].find(session_id)
    if session is None or session.running is None:
        return True
    body = await readable(request)
    if body is None or body.if_active in ("enqueue", "reject"):
        return False
    key = bodies.idempotency_key(request)
    return key is None or await request.app[HISTORY].known_key(request[OWNER], session_id, key) is None
