"""Who a request comes from: the modes `local` and `proxy`, and what all modes have in common."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from aiohttp import web

from app.chat.scoped_ids import LOCAL, is_owner
from app.web.app_keys import PROXIES
from app.web.grants import Grant
from app.web.http import forwarded
from app.web.problems import ProblemError

EVERYBODY = Grant(LOCAL, is_admin=True)
MOST_GRANTS = 4096  # owners whose grant is remembered


class Gate(Protocol):
    """Decides who is let in."""

    signs_in: bool  # whether there is a login page, so that pages offer to sign out

    def grant(self, request: web.Request) -> Grant | None:
        """Return who the request comes from; `None` if it is not let in. Synchronous: every request passes here."""

    async def look_again(self, request: web.Request) -> Grant:
        """Return the access of a request that `grant` did not let in, or raise the response that refuses it."""


class LocalGate:
    """Everybody who reaches the server is the same owner. The server listens on loopback only."""

    signs_in = False

    def grant(self, request: web.Request) -> Grant | None:  # noqa: ARG002 - of the protocol
        """See `Gate`."""
        return EVERYBODY

    async def look_again(self, request: web.Request) -> Grant:  # noqa: ARG002 - of the protocol
        """See `Gate`."""
        return EVERYBODY


class ProxyGate:
    """A proxy has authenticated the user and names it in a header, which is believed only from trusted peers."""

    signs_in = False

    def __init__(self, header: str, admins: Collection[str]) -> None:
        self._header = header
        self._admins = frozenset(admins)
        self._grants: dict[str, Grant] = {}

    def __repr__(self) -> str:
        return f"<ProxyGate {self._header}>"

    def grant(self, request: web.Request) -> Grant | None:
        """See `Gate`."""
        named = request.headers.getall(self._header, ())
        if len(named) != 1 or not _is_from_proxy(request):
            return None
        owner = named[0].strip(" \t")
        known = self._grants.get(owner)
        if known is None and owner != LOCAL and is_owner(owner):
            if len(self._grants) >= MOST_GRANTS:
                self._grants.clear()  # nothing is lost: a proxy's grants never end
            known = self._grants[owner] = Grant(owner, is_admin=owner in self._admins)
        return known

    async def look_again(self, request: web.Request) -> Grant:
        """See `Gate`. The message says what is wrong, for the operator who sets up the proxy."""
        raise ProblemError(401, "no_proxy_user", self._reason(request), headers={"WWW-Authenticate": "Proxy"})

    def _reason(self, request: web.Request) -> str:
        if not _is_from_proxy(request):
            return "This server is reached through a proxy that signs people in. Use the proxy's address."
        named = request.headers.getall(self._header, ())
        if not named:
            return f"The proxy didn't say who you are: it must send {self._header}."
        if len(named) > 1:
            return f"The proxy must send {self._header} once, and remove the one that a client sent."
        return (
            f"The user name in {self._header} can't be used. It must be 1 to 128 letters, digits and ._@+|:-, "
            f"begin with a letter or digit, and not be {LOCAL!r}."
        )


def _is_from_proxy(request: web.Request) -> bool:
    return request.app[PROXIES].trusts(forwarded.peer(request))
