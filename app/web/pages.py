"""The pages, rendered by the server, and the forms on them that work without JavaScript."""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import web

from app import __version__
from app.streams.errors import TailraceError
from app.streams.ports import Options
from app.web import bodies
from app.web.keys import CATALOG, OWNER, REGISTRY
from app.web.new_stream import draft
from app.web.problems import ProblemError, translate
from app.web.rendering import render
from app.web.sessions import PAGE_SIZE, take_snapshot
from app.web.streams import register


async def new_session_page(request: web.Request) -> web.StreamResponse:
    """GET /: an empty session. It comes into being with its first prompt."""
    return await _page(request, _empty(secrets.token_urlsafe(12)))


async def session_page(request: web.Request) -> web.StreamResponse:
    """GET /sessions/{session_id}"""
    session_id = bodies.path_id(request, "session_id")
    return await _page(request, await take_snapshot(request.app[REGISTRY], request[OWNER], session_id))


async def post_form(request: web.Request) -> web.StreamResponse:
    """POST of the composer without JavaScript: 303 to the page, or the page with the error and what was typed."""
    session_id = bodies.path_id(request, "session_id")
    try:
        await register(request, session_id)
    except (ProblemError, TailraceError) as error:
        problem = error if isinstance(error, ProblemError) else translate(error)
        return await _refused(request, session_id, problem)
    raise web.HTTPSeeOther(f"/sessions/{session_id}")


async def post_stop(request: web.Request) -> web.StreamResponse:
    """POST /sessions/{session_id}/stop: the Stop button without JavaScript."""
    session_id = bodies.path_id(request, "session_id")
    await request.app[REGISTRY].stop_session(request[OWNER], session_id, wait=2.0)
    raise web.HTTPSeeOther(f"/sessions/{session_id}")


async def _refused(request: web.Request, session_id: str, problem: ProblemError) -> web.StreamResponse:
    """Show the page again, so that nothing that was typed is lost."""
    registry = request.app[REGISTRY]
    if await registry.history.check(request[OWNER], session_id):
        session: Any = await take_snapshot(registry, request[OWNER], session_id)
    else:
        session = _empty(session_id)
    response = await _page(request, session, draft=await draft(request), error=problem.detail)
    response.set_status(problem.status)
    response.headers.update(problem.headers)
    return response


async def _page(
    request: web.Request, session: Any, *, draft: str = "", error: str | None = None
) -> web.Response:
    listing = await request.app[CATALOG].listing()
    page = await request.app[REGISTRY].history.sessions(request[OWNER], limit=PAGE_SIZE)
    context = {
        "version": __version__,
        "session": session,
        "sessions": page.sessions,
        "models": [model.model_id for model in listing.models],
        "unreachable": listing.unreachable,
        "default_model": listing.default,
        "draft": draft,
        "error": error,
    }
    return render(request, "session.html", context)


def _empty(session_id: str) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "title": "",
        "options": Options(),
        "branch": None,
        "messages": [],
        "cursor": None,
        "running": None,
    }
