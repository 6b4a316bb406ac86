"""Shows the error of a rejected form on the page that contains the form, not on a separate page."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from app.chat.errors import SessionNotFound, TailraceError
from app.web import problems
from app.web.app_keys import HISTORY, OWNER
from app.web.http.accept import wants_html
from app.web.http.addresses import came_from
from app.web.http.body_type import body_type
from app.web.i18n import translations
from app.web.input import bodies
from app.web.input.session_ids import own
from app.web.page import views
from app.web.page.live.snapshots import PageSnapshot
from app.web.problems import ProblemError

_SESSION = re.compile(rf"/sessions/({bodies.ID_PATTERN})$")
_LOGIN = "/login"  # this page shows its own errors


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return the form's page with the error to a browser. Other clients get the problem."""
    try:
        return await handler(request)
    except (ProblemError, TailraceError) as error:
        if not _is_form(request):
            raise
        return await told(request, problems.problem_of(error))


async def told(
    request: web.Request,
    problem: ProblemError,
    session_id: str | None = None,
    typed: Mapping[str, str] = MappingProxyType({}),
) -> web.Response:
    """Return a session's page with the problem. The default is the session whose page contains the form."""
    session = await session_or_empty(request, session_id or _shown(request))
    error = problems.told(translations.of(request), problem)
    response = await views.show(
        request, session, typed=typed, error=error, code=problem.code, status=problem.status
    )
    response.headers.update(problem.headers)
    response[problems.CODE] = problem.code
    return response


def _is_form(request: web.Request) -> bool:
    return (
        request.method == hdrs.METH_POST
        and body_type(request) in bodies.FORMS
        and wants_html(request)
        and not request.path.endswith(_LOGIN)
    )


def _shown(request: web.Request) -> str:
    found = _SESSION.search(urlsplit(came_from(request) or "").path)
    return found[1] if found else ""


async def session_or_empty(request: web.Request, session_id: str) -> PageSnapshot:
    """Return a session as its page shows it, or an empty one where it does not exist."""
    if session_id and await request.app[HISTORY].check(request[OWNER], own(request, session_id)):
        with suppress(SessionNotFound):  # it was deleted since
            return await views.session_of(request, session_id)
    return views.empty(session_id or secrets.token_urlsafe(12))
