"""Who a request comes from in a sub-application: its parent knows."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection

from aiohttp import hdrs, web
from yarl import URL

from app.chat.scoped_ids import LOCAL, MOST_CHARACTERS, is_owner
from app.tasks.timeouts import within
from app.web.grants import Grant
from app.web.http.accept import wants_html
from app.web.http.addresses import here
from app.web.problems import RETRY_AFTER, ProblemError
from app.web.security.gates import MOST_GRANTS

User = Callable[[web.Request], "str | Awaitable[str | None] | None"]
USER_SECONDS = 10.0  # that the parent may take to say who it is


class ParentGate:
    """Asks the parent's `user` about every request. `sign_in` is the address of the parent's own sign-in page."""

    signs_in = False

    def __init__(self, user: User, *, sign_in: str | None, admins: Collection[str]) -> None:
        self._user = user
        self._sign_in = URL(sign_in) if sign_in is not None else None
        self._admins = frozenset(admins)
        self._grants: dict[str, Grant] = {}

    def __repr__(self) -> str:
        return f"<ParentGate grants={len(self._grants)}>"

    def grant(self, request: web.Request) -> Grant | None:  # noqa: ARG002 - of the protocol
        """See `Gate`. Nobody is let in without asking, and the answer may have to be awaited."""
        return None

    async def look_again(self, request: web.Request) -> Grant:
        """See `Gate`. Also raises what the parent's function raises, such as a redirection."""
        owner = self._user(request)
        if inspect.isawaitable(owner):
            owner = await self._answer(owner)
        if owner is None:
            raise self._unknown(request)
        known = self._grants.get(owner)
        return known if known is not None else self._new(owner)

    def end(self, owner: str) -> None:
        """End the open responses of a user who has signed out. The next request asks again."""
        known = self._grants.pop(owner, None)
        if known is not None:
            known.end()

    async def _answer(self, answer: Awaitable[str | None]) -> str | None:
        async def asked() -> str | None:
            return await answer

        try:
            return await within(USER_SECONDS, asked())
        except TimeoutError as error:
            raise ProblemError(
                503,
                "sign_in_unavailable",
                "The sign-in doesn't respond. Try again in a moment.",
                headers={"Retry-After": RETRY_AFTER},
            ) from error

    def _unknown(self, request: web.Request) -> Exception:
        if self._sign_in is None or not (
            request.method in (hdrs.METH_GET, hdrs.METH_HEAD) and wants_html(request)
        ):
            return ProblemError(
                401,
                "not_signed_in",
                "Sign in to this site, then try again.",
                headers={"WWW-Authenticate": "Site"},
            )
        return web.HTTPSeeOther(self._sign_in.update_query(next=str(here(request))))

    def _new(self, owner: str) -> Grant:
        text = str(owner)  # nothing checks what the parent's function returns
        if text is not owner or owner == LOCAL or not is_owner(owner):
            raise TypeError(
                f"user() returned {text[:MOST_CHARACTERS]!r}: a user is a str of 1 to {MOST_CHARACTERS} letters, "
                f"digits and ._@+|:-, begins with a letter or digit, and is not {LOCAL!r}. Return an id"
            )
        if len(self._grants) >= MOST_GRANTS:
            self._forget()
        known = self._grants[owner] = Grant(owner, is_admin=owner in self._admins)
        return known

    def _forget(self) -> None:
        """Forget those who have nothing open: `end` finds the others."""
        for owner in [owner for owner, grant in self._grants.items() if not grant.is_open]:
            del self._grants[owner]
