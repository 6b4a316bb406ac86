"""The Host allow-list, the origin check, and the security headers of every response.

A page of another site can make a browser send requests here: directly (CSRF), or by resolving its own name to this
address (DNS rebinding). `Sec-Fetch-Site` and `Origin` reveal the first, `Host` the second.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from app import hosts
from app.web.http import forwarded
from app.web.problems import ProblemError

SAFE_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types blocks",
    ]
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


OPENER_POLICY = "Cross-Origin-Opener-Policy"

SHOWN = 100  # characters of a header that a message quotes
PROXY_ADVICE = (
    "A proxy in front of Tailrace must pass on the Host that the browser sent "
    "(nginx: `proxy_set_header Host $http_host;`), and TAILRACE_ALLOWED_HOSTS must list it."
)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal `on_response_prepare`, so that streamed responses get the headers too."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    # Browsers ignore this header, with a warning, from origins that they do not trust (HTML, section 7.1.3).
    if forwarded.scheme(request) == "https" or _is_loopback(request):
        response.headers.setdefault(OPENER_POLICY, "same-origin")


def _is_loopback(request: web.Request) -> bool:
    asked = forwarded.asked(request)
    return asked is not None and hosts.is_loopback(asked.host)


def middleware(allowed_hosts: Collection[str], open_to_all: Collection[Handler]) -> Any:
    """Return the middleware that rejects unknown hosts and foreign origins. Handlers in `open_to_all` skip it.

    Raises `ValueError` for a malformed name in `allowed_hosts`.
    """
    allowed = tuple(map(hosts.Allowed.parse, allowed_hosts))

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.handler in open_to_all:
            return await handler(request)
        asked = forwarded.asked(request)
        if asked is None or not hosts.is_allowed(asked, forwarded.scheme(request), allowed):
            raise ProblemError(421, "host_not_allowed", _not_allowed(request.headers.get(hdrs.HOST, "")))
        if request.method not in SAFE_METHODS and not _is_from_own_page(request, asked, allowed):
            raise ProblemError(403, "foreign_origin", _foreign(request))
        return await handler(request)

    return guard


def _not_allowed(host: str) -> str:
    name = f"the name {host[:SHOWN]!r}" if host else "a request without a Host"
    allow = "To allow a name, add it to TAILRACE_ALLOWED_HOSTS."
    return f"Tailrace isn't allowed to answer to {name}. {allow} {PROXY_ADVICE}"


def _foreign(request: web.Request) -> str:
    blocked = "Blocked: the request came from another site."
    if "Sec-Fetch-Site" in request.headers:
        return blocked
    origin, host = request.headers.get(hdrs.ORIGIN, ""), request.headers.get(hdrs.HOST, "")
    scheme = forwarded.scheme(request)
    told = f", X-Forwarded-Proto {scheme!r}" if scheme else ""
    return f"{blocked} (Origin {origin[:SHOWN]!r}, Host {host[:SHOWN]!r}{told}.) {PROXY_ADVICE}"


def _is_from_own_page(
    request: web.Request, asked: hosts.Authority, allowed: Collection[hosts.Allowed]
) -> bool:
    """Return whether the request came from a page of this server or from a client that is not a browser."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    if hdrs.ORIGIN not in request.headers:
        return True
    origin = hosts.origin(request.headers[hdrs.ORIGIN])
    scheme = forwarded.scheme(request)
    if origin is None or hosts.is_same(origin, asked, scheme):
        return origin is not None
    # A proxy that replaces Host often forwards the original one here. Pages of other sites cannot set this header.
    first = forwarded.host(request)
    return (
        first is not None
        and hosts.is_allowed(first, scheme, allowed)
        and hosts.is_same(origin, first, scheme)
    )
