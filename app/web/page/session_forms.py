"""Session management without JavaScript: a page with forms to rename, export and delete a session."""

from __future__ import annotations

from aiohttp import web

from app.chat.scoped_ids import bare
from app.web.api.sessions import checked_title
from app.web.app_keys import HISTORY, LIMITS, LISTS, OWNER, REGISTRY
from app.web.http.addresses import at
from app.web.http.see_other import see_other
from app.web.i18n import translations
from app.web.i18n.error_texts import said
from app.web.input import bodies
from app.web.input.forms import SMALL, text_form
from app.web.input.session_ids import own, path_session, shown
from app.web.output.entry import take_turn
from app.web.page.templates import render
from app.web.problems import ProblemError


async def manage_page(request: web.Request) -> web.StreamResponse:
    """GET /sessions/{session_id}/manage"""
    return await _page(request)


async def post_rename(request: web.Request) -> web.StreamResponse:
    """POST /sessions/{session_id}/rename: 303 to the session, or the page with the error and the typed title."""
    session_id = bodies.path_id(request, "session_id")
    title = (await text_form(request, SMALL)).get("title", "")
    await take_turn(request)
    history, owner = request.app[HISTORY], request[OWNER]
    await history.session(owner, own(request, session_id))  # one that does not exist is no node's to write
    try:
        await history.rename(owner, own(request, session_id), checked_title(title))
    except ProblemError as problem:
        return await _page(request, draft=title, problem=problem)
    request.app[LISTS].changed(request[OWNER])
    return see_other(at(request, f"/sessions/{session_id}"))


async def post_delete(request: web.Request) -> web.StreamResponse:
    """POST /sessions/{session_id}/delete: 303 to a new session, whose page offers to undo the delete."""
    session_id = bodies.path_id(request, "session_id")
    await take_turn(request)
    wait = request.app[LIMITS].max_stop_wait
    await request.app[REGISTRY].delete_session(request[OWNER], own(request, session_id), wait=wait)
    request.app[LISTS].changed(request[OWNER])
    return see_other(at(request, f"/?deleted={session_id}"))


async def post_restore(request: web.Request) -> web.StreamResponse:
    """POST /sessions/{session_id}/restore: undo a delete; 303 to the session."""
    session_id = bodies.path_id(request, "session_id")
    await take_turn(request)
    restored = await request.app[REGISTRY].archives.restore(request[OWNER], own(request, session_id))
    request.app[LISTS].changed(request[OWNER])
    return see_other(at(request, f"/sessions/{bare(restored.session_id)}"))


async def _page(
    request: web.Request, *, draft: str | None = None, problem: ProblemError | None = None
) -> web.Response:
    context = {
        "session": shown(await request.app[HISTORY].session(request[OWNER], path_session(request))),
        "draft": draft,
        "error": said(translations.of(request), problem.code, problem.detail) if problem else None,
    }
    return render(request, "manage.html", context, status=problem.status if problem else 200)
