"""The Host allow-list, and the check that a request comes from a page of this server.

A page of another site can make a browser send requests here: directly (CSRF), or by resolving its own name to this
address (DNS rebinding). `Sec-Fetch-Site` and `Origin` reveal the first, `Host` the second.
"""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from app import hosts
from app.web.app_keys import PASSED
from app.web.http import forwarded
from app.web.problems import ProblemError
from app.web.security import sites
from app.web.security.origins import Origins, is_preflight, preflight

SAFE_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})

SHOWN = 100  # characters of a header that a message quotes
PROXY_ADVICE = (
    "A proxy in front of Tailrace must pass on the Host that the browser sent "
    "(nginx: `proxy_set_header Host $http_host;`), and TAILRACE_ALLOWED_HOSTS must list it."
)


def middleware(
    allowed_hosts: Collection[str], others: Origins, open_to_all: Collection[Handler], *, frames: bool
) -> Middleware:
    """Return the middleware that rejects unknown hosts and foreign origins. Handlers in `open_to_all` skip it.

    `others` are the origins that may call the API all the same; with `frames`, pages may be loaded in a frame.

    Raises `ValueError` for a malformed name in `allowed_hosts`.
    """
    allowed = tuple(map(hosts.Allowed.parse, allowed_hosts))

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if PASSED in request or request.match_info.handler in open_to_all:  # another node has checked it
            return await handler(request)
        asked = forwarded.asked(request)
        if asked is None or not hosts.is_allowed(asked, forwarded.scheme(request), allowed):
            raise ProblemError(421, "host_not_allowed", _not_allowed(forwarded.named(request) or ""))
        if others.allow(request):
            return preflight(request) if is_preflight(request) else await handler(request)
        is_safe = request.method in SAFE_METHODS
        if not (
            sites.may_read(request, asked, allowed, frames=frames)
            if is_safe
            else sites.may_act(request, asked, allowed)
        ):
            raise ProblemError(403, "foreign_origin", _foreign(request))
        return await handler(request)

    return guard


def _not_allowed(host: str) -> str:
    name = f"the name {host[:SHOWN]!r}" if host else "a request without a Host"
    allow = "To allow a name, add it to TAILRACE_ALLOWED_HOSTS."
    return f"Tailrace isn't allowed to answer to {name}. {allow} {PROXY_ADVICE}"


def _foreign(request: web.Request) -> str:
    blocked = "Blocked: the request came from another site."
    if sites.SITE in request.headers:
        return blocked
    origin, host = request.headers.get(hdrs.ORIGIN, ""), forwarded.named(request) or ""
    scheme = forwarded.scheme(request)
    told = f", X-Forwarded-Proto {scheme!r}" if scheme else ""
    advice = f"{PROXY_ADVICE} If it speaks HTTPS to the browser, it must send X-Forwarded-Proto."
    return f"{blocked} (Origin {origin[:SHOWN]!r}, Host {host[:SHOWN]!r}{told}.) {advice}"
