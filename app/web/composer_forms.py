"""The composer as a plain form, for a browser without JavaScript: send, stop, look for models again."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from app.streams.errors import TailraceError
from app.web import bodies, pages, translations
from app.web.addresses import at, cookie_path
from app.web.forms import typed
from app.web.keys import OWNER, REGISTRY
from app.web.plain_page import COOKIE
from app.web.problems import ProblemError, told, translate
from app.web.streams import register


async def post_prompt(request: web.Request) -> web.StreamResponse:
    """POST of the composer: 303 to the page, or the page with the error and what was typed."""
    session_id = bodies.path_id(request, "session_id")
    try:
        await register(request, session_id)
    except (ProblemError, TailraceError) as error:
        problem = error if isinstance(error, ProblemError) else translate(error)
        return await _again(request, session_id, problem)
    page = web.HTTPSeeOther(at(request, f"/sessions/{session_id}"))
    # A script would have sent the prompt itself: from now on answers come as a page that grows.
    page.set_cookie(COOKIE, "1", path=cookie_path(request), samesite="Lax")
    raise page


async def post_stop(request: web.Request) -> web.StreamResponse:
    """POST /sessions/{session_id}/stop: the Stop button."""
    session_id = bodies.path_id(request, "session_id")
    await request.app[REGISTRY].stop_session(request[OWNER], session_id, wait=2.0)
    raise web.HTTPSeeOther(at(request, f"/sessions/{session_id}"))


async def post_refresh(request: web.Request) -> web.StreamResponse:
    """POST /sessions/{session_id}/refresh: the page as it is now, with what was typed."""
    return await _again(request, bodies.path_id(request, "session_id"), None)


async def _again(request: web.Request, session_id: str, problem: ProblemError | None) -> web.StreamResponse:
    """Show the page again, so that nothing that was typed is lost."""
    registry = request.app[REGISTRY]
    if await registry.history.check(request[OWNER], session_id):
        session: Any = await pages.session_of(request, session_id)
    else:
        session = pages.empty(session_id)
    form = await typed(request)
    if problem is None:
        return await pages.show(request, session, typed=form)
    error = told(translations.of(request), problem)
    response = await pages.show(request, session, typed=form, error=error, status=problem.status)
    response.headers.update(problem.headers)
    return response
