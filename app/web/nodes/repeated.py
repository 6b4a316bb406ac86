"""What is answered to a write that had to be sent again: it may have been done the first time, which is no failure."""

from __future__ import annotations

from aiohttp import hdrs, web

from app.chat.errors import SessionNotFound
from app.web.app_keys import HISTORY, OWNER
from app.web.http.addresses import at
from app.web.input import bodies
from app.web.input.session_ids import shown
from app.web.nodes.routes import address


async def done_before(request: web.Request, session_id: str) -> web.StreamResponse | None:
    """Return the response to a request that is not found now because it was done before; `None` if it was not.

    Raises `HistoryUnavailable`.
    """
    bare, where = request.match_info.get("session_id", ""), address(request)
    if request.method == hdrs.METH_DELETE and where == "/api/sessions/{session_id}":
        return web.Response(status=204)
    if request.method != hdrs.METH_POST:
        return None
    if where == "/sessions/{session_id}/delete":
        return _see(request, f"/?deleted={bare}")
    if where not in ("/api/sessions/{session_id}/restore", "/sessions/{session_id}/restore"):
        return None
    try:
        restored = await request.app[HISTORY].session(request[OWNER], session_id)
    except SessionNotFound:
        return None
    if where.startswith("/api/"):
        return bodies.respond_json(shown(restored))
    return _see(request, f"/sessions/{bare}")


def _see(request: web.Request, path: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: at(request, path)})
