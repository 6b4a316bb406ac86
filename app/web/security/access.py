"""The mode `tokens`: an access token with each request, or the cookie of a browser that was signed in with one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote

from aiohttp import hdrs, web

from app.chat.ports import Logger
from app.chat.tokens import TokenStore
from app.web.grants import Grant
from app.web.http.accept import wants_html
from app.web.http.addresses import at, here
from app.web.problems import ProblemError
from app.web.security.guesses import Guesses
from app.web.security.sign_in_cookie import SignInCookie
from app.web.security.token_table import Holder, TokenTable
from app.web.security.token_watch import TokenWatch


@asynccontextmanager
async def opened(
    only: str | None,
    secret: bytes,
    *,
    store: TokenStore,
    guesses: Guesses,
    logger: Logger,
    now: Callable[[], float],
) -> AsyncIterator[Access]:
    """Yield the gate of the mode `tokens`. `only` is TAILRACE_ACCESS_TOKEN. Raises `HistoryUnavailable`."""
    table = TokenTable(only, secret, now)
    watch = TokenWatch(store, table, logger, now)
    async with watch.running():
        if table.is_empty:
            logger.warning("no_tokens", advice="tailrace token add NAME")
        yield Access(table, watch, SignInCookie(secret), guesses)


class Access:
    """The gate, and what the login page needs: to check a token, and to sign a browser in and out."""

    signs_in = True

    def __init__(self, table: TokenTable, watch: TokenWatch, cookie: SignInCookie, guesses: Guesses) -> None:
        self._guesses = guesses
        self._table = table
        self._watch = watch
        self._cookie = cookie

    def __repr__(self) -> str:
        return f"<Access {self._table!r}>"

    def grant(self, request: web.Request) -> Grant | None:
        """See `Gate`."""
        candidate = _bearer(request)
        granted = self._table.by_token(candidate) if candidate is not None else None
        if granted is not None:
            return granted
        found = (self._table.by_sign_in(signed.sign_in_id) for signed in self._cookie.read(request))
        return next((each for each in found if each is not None), None)

    async def look_again(self, request: web.Request) -> Grant:
        """See `Gate`. A browser is sent to the login page, a program gets a 401, and too many wrong tokens a 429."""
        granted = await self._renewed(request)
        if granted is not None:
            return granted
        await self.count(request)
        if wants_html(request) and request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
            raise web.HTTPSeeOther(at(request, f"/login?next={quote(str(here(request)), safe='')}"))
        raise ProblemError(
            401,
            "access_token_required",
            "This server requires an access token: send `Authorization: Bearer …`, or sign in at "
            f"{at(request, '/login')}.",
            headers={"WWW-Authenticate": "Bearer"},
        )

    async def _renewed(self, request: web.Request) -> Grant | None:
        """Return the access of a browser that another server has just signed in."""
        if not any(signed.is_new for signed in self._cookie.read(request)):
            return None
        await self._watch.renew()
        return self.grant(request)

    # ---- for the login page ----------------------------------------------------------------------------------

    def holder(self, token: str) -> Holder | None:
        """Return whose token it is; `None` if it is not valid."""
        return self._table.holder(token)

    async def count(self, request: web.Request) -> None:
        """Count the token of a request that was not let in, if it has one. Raises as `wrong` does."""
        if (candidate := _bearer(request)) is not None:
            await self.wrong(request, candidate)

    async def wrong(self, request: web.Request, token: str) -> None:
        """Count and log a token that is not valid. Raises a 429 after too many of them."""
        await self._guesses.wrong(request, owner=self._table.owner_of(token))

    async def sign_in(self, request: web.Request, response: web.StreamResponse, holder: Holder) -> None:
        """Sign a browser in for 30 days at most, and end its earlier sign-in. Raises `HistoryUnavailable`."""
        sign_in = await self._watch.sign_in(holder.token_id)
        for earlier in self._cookie.read(request):
            await self._watch.sign_out(earlier.sign_in_id)
        self._cookie.set(request, response, sign_in.sign_in_id)

    async def sign_out(self, request: web.Request, response: web.StreamResponse) -> None:
        """Sign a browser out: its cookie no longer works, and its open responses end."""
        for signed in self._cookie.read(request):
            await self._watch.sign_out(signed.sign_in_id)
        self._cookie.delete(request, response)


def _bearer(request: web.Request) -> str | None:
    scheme, _, candidate = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return candidate.strip() if scheme.lower() == "bearer" else None
