"""Notes what runs in a session when a request comes that ends it.

The node that runs it may have to be given up, and then nothing runs any more that could be stopped or rolled back.
"""

from __future__ import annotations

from aiohttp import web

from app.web.app_keys import HISTORY, OWNER, UNFINISHED
from app.web.http.body_type import body_type
from app.web.input.bodies import FORMS
from app.web.nodes.leaving import is_answering
from app.web.nodes.readable import readable
from app.web.nodes.routes import asks_for_answer, stops

MOST = 16  # streams: a prompt ends more only if its chat had as many in its queue


async def note(request: web.Request, session_id: str) -> None:
    """Note the unfinished streams of a session that runs elsewhere, if at all. Raises `HistoryUnavailable`."""
    if is_answering(request, session_id) or not await _ends_what_runs(request):
        return
    found = await request.app[HISTORY].running(request[OWNER], session_id)
    request[UNFINISHED] = tuple(found[-MOST:])


async def _ends_what_runs(request: web.Request) -> bool:
    """Return whether a request stops a session, or rolls back what runs there."""
    if not asks_for_answer(request):
        return stops(request)
    if body_type(request) in FORMS:
        return False  # it cannot say so
    body = await readable(request)
    return body is not None and body.if_active == "rollback"
