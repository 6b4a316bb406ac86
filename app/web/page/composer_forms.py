"""Form handlers of the composer, for browsers without JavaScript: send, stop, refresh the models."""

from __future__ import annotations

from aiohttp import web

from app.chat.errors import LeaseLost, TailraceError
from app.web.api.streams import register
from app.web.app_keys import OWNER, REGISTRY
from app.web.http.addresses import at, cookie_path
from app.web.http.see_other import see_other
from app.web.input import bodies
from app.web.input.forms import typed
from app.web.input.session_ids import own
from app.web.page import form_problems, views
from app.web.page.noscript.growing_page import COOKIE
from app.web.problems import ProblemError, problem_of


async def post_prompt(request: web.Request) -> web.StreamResponse:
    """POST of the composer: 303 to the session's page, or the page with the error and the typed text."""
    session_id = bodies.path_id(request, "session_id")
    try:
        await register(request, own(request, session_id))
    except LeaseLost:
        raise  # the session's new owner takes the prompt
    except (ProblemError, TailraceError) as error:
        return await form_problems.told(request, problem_of(error), session_id, await typed(request))
    page = see_other(at(request, f"/sessions/{session_id}"))
    # A form was sent, so the browser runs no scripts: from now on answers are streamed into the page.
    page.set_cookie(COOKIE, "1", path=cookie_path(request), samesite="Lax")
    return page


async def post_stop(request: web.Request) -> web.StreamResponse:
    """POST /sessions/{session_id}/stop: the Stop button."""
    session_id = bodies.path_id(request, "session_id")
    await request.app[REGISTRY].stop_session(request[OWNER], own(request, session_id), wait=2.0)
    return see_other(at(request, f"/sessions/{session_id}"))


async def post_refresh(request: web.Request) -> web.StreamResponse:
    """POST /sessions/{session_id}/refresh: the current page, with the typed text."""
    return await _shown_again(request, bodies.path_id(request, "session_id"))


async def _shown_again(request: web.Request, session_id: str) -> web.StreamResponse:
    """Render the page again without losing the typed text."""
    session = await form_problems.session_or_empty(request, session_id)
    return await views.show(request, session, typed=await typed(request))
