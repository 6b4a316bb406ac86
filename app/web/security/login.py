"""The login page: it exchanges a token for a cookie, and signs a browser out."""

from __future__ import annotations

from aiohttp import web

from app.chat.errors import HistoryUnavailable
from app.web.http.addresses import at, local_path
from app.web.http.see_other import see_other
from app.web.i18n import translations
from app.web.i18n.error_texts import said
from app.web.input.forms import small_form
from app.web.page.templates import render
from app.web.problems import ProblemError, problem_of
from app.web.security.access import Access


class LoginPage:
    """Login and logout. Without an `access` that signs people in, the pages lead on to where there is one."""

    def __init__(self, access: Access | None) -> None:
        self._access = access

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /login"""
        target = local_path(request, request.query.get("next", ""))
        if self._access is None or self._access.grant(request) is not None:
            return see_other(target)
        await self._access.count(request)
        return self._page(request, target, None, 200)

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """POST /login: 303 to `next` with the cookie; 403 and the login page if the token is wrong, 429 if limited."""
        form = await small_form(request)
        target = local_path(request, form.get("next", ""))
        if self._access is None:
            return see_other(target)
        redirect = see_other(target)
        try:
            if not await _signed_in(self._access, request, redirect, form.get("token", "").strip()):
                sentences = translations.of(request).sentences
                return self._page(request, target, sentences.gettext("Wrong token"), 403)
        except (ProblemError, HistoryUnavailable) as error:
            problem = problem_of(error)
            detail = said(translations.of(request), problem.code, problem.detail)
            response = self._page(request, target, detail, problem.status)
            response.headers.update(problem.headers)
            return response
        return redirect

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """POST /logout: deletes the cookie, 303 to the login page."""
        redirect = see_other(at(request, "/login"))
        if self._access is not None:
            await self._access.sign_out(request, redirect)
        return redirect

    def _page(self, request: web.Request, target: str, error: str | None, status: int) -> web.Response:
        return render(request, "login.html", {"error": error, "next": target}, status=status)


async def _signed_in(access: Access, request: web.Request, response: web.StreamResponse, token: str) -> bool:
    """Sign the browser in if the token is right; return whether it is. Raises a 429, and `HistoryUnavailable`."""
    holder = access.holder(token)
    if holder is None:
        await access.wrong(request, token)
        return False
    await access.sign_in(request, response, holder)
    return True
