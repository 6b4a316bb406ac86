"""Access control: the access token as a bearer token or by login, with a rate limit on wrong tokens."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from itsdangerous import BadSignature, TimestampSigner
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.web.app_keys import OWNER
from app.web.http.accept import wants_html
from app.web.http.addresses import at, cookie_path, here, local_path
from app.web.http.forwarded import is_https
from app.web.i18n import translations
from app.web.i18n.error_texts import said
from app.web.page.templates import render
from app.web.problems import ProblemError

OWNER_NAME = "local"  # one user: whoever has the token, or, without one, whoever sits at this machine
COOKIE = "tailrace_access"
COOKIE_SECONDS = 30 * 24 * 3600
GUESSES = parse("10/minute")


class Access:
    """Checks tokens and cookies. Without a token everyone has access; the server then listens on loopback only.

    `secret` signs the cookies. The signature also depends on the token, so a new token invalidates all logins.
    """

    def __init__(self, token: str | None, secret: bytes) -> None:
        self._token = token
        key = hashlib.sha256(secret + b"\0" + (token or "").encode()).digest()
        self._signer = TimestampSigner(key, salt="tailrace.access", digest_method=hashlib.sha256)
        self._guesses = MovingWindowRateLimiter(MemoryStorage())

    @property
    def required(self) -> bool:
        """Whether a token is required."""
        return self._token is not None

    def try_token(self, candidate: str, remote: str) -> bool:
        """Return whether `candidate` is the token. Raises a 429 after too many wrong ones from the same address."""
        if self._token is None:
            return True
        if not self._guesses.test(GUESSES, remote):
            raise ProblemError(
                429,
                "too_many_guesses",
                "Too many wrong tokens. Wait a minute.",
                headers={"Retry-After": "60"},
            )
        # Headers may contain bytes that are not UTF-8; aiohttp passes them as surrogates.
        if hmac.compare_digest(candidate.encode(errors="surrogateescape"), self._token.encode()):
            return True
        self._guesses.hit(GUESSES, remote)
        return False

    def cookie(self) -> str:
        """Return the value of a signed access cookie."""
        return self._signer.sign(OWNER_NAME.encode()).decode()

    def allows(self, request: web.Request) -> bool:
        """Return whether the request has the token or a valid cookie. Raises a 429 as `try_token` does."""
        if not self.required:
            return True
        scheme, _, candidate = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() == "bearer":
            return self.try_token(candidate.strip(), request.remote or "")
        try:
            cookie = request.cookies.get(COOKIE, "").encode(errors="surrogateescape")
            self._signer.unsign(cookie, max_age=COOKIE_SECONDS)
        except BadSignature:
            return False
        return True


def middleware(access: Access, open_to_all: Collection[Handler]) -> Any:
    """Return the middleware that rejects requests without access, and sets the owner of the others.

    Handlers in `open_to_all` are not checked and get no owner.
    """

    @web.middleware
    async def check_access(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.handler in open_to_all:
            return await handler(request)
        if not access.allows(request):
            if wants_html(request) and request.method == hdrs.METH_GET:
                raise web.HTTPSeeOther(at(request, f"/login?next={quote(str(here(request)), safe='')}"))
            raise ProblemError(
                401,
                "access_token_required",
                "This server requires an access token: send `Authorization: Bearer …`, or sign in at "
                f"{at(request, '/login')}.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        request[OWNER] = OWNER_NAME
        return await handler(request)

    return check_access


class LoginPage:
    """Login and logout: exchanges the token for a cookie."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /login"""
        target = local_path(request, request.query.get("next", ""))
        if self._access.allows(request):
            raise web.HTTPSeeOther(target)
        return self._page(request, target, None, 200)

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """POST /login: 303 to `next` with the cookie; 403 and the login page if the token is wrong, 429 if limited."""
        form = await request.post()
        target = local_path(request, str(form.get("next", "")))
        try:
            if not self._access.try_token(str(form.get("token", "")).strip(), request.remote or ""):
                sentences = translations.of(request).sentences
                return self._page(request, target, sentences.gettext("Wrong token"), 403)
        except ProblemError as problem:
            detail = said(translations.of(request), problem.code, problem.detail)
            response = self._page(request, target, detail, problem.status)
            response.headers.update(problem.headers)
            return response
        redirect = web.HTTPSeeOther(target)
        redirect.set_cookie(
            COOKIE,
            self._access.cookie(),
            max_age=COOKIE_SECONDS,
            path=cookie_path(request),
            httponly=True,
            samesite="Lax",
            secure=is_https(request),
        )
        raise redirect

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """POST /logout: deletes the cookie, 303 to the login page."""
        redirect = web.HTTPSeeOther(at(request, "/login"))
        redirect.del_cookie(
            COOKIE,
            path=cookie_path(request),
            httponly=True,
            samesite="Lax",
            secure=is_https(request),
        )
        raise redirect

    def _page(self, request: web.Request, target: str, error: str | None, status: int) -> web.Response:
        return render(request, "login.html", {"error": error, "next": target}, status=status)
