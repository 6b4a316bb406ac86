"""What every request passes first: the Host allow-list, the origin check, and the headers that every answer carries.

A page of another site can make a browser send requests here, also by pointing its own name at this address (DNS
rebinding). The first is recognised by `Sec-Fetch-Site` and `Origin`, the second by the name in `Host`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from app.web.problems import ProblemError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
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


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal `on_response_prepare`: streams get the headers too."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    # Browsers heed this one from origins that they trust; to all others they complain of it (HTML, section 7.1.3).
    if over_https(request) or host_name(request.headers.get(hdrs.HOST, "")) in LOOPBACK_NAMES:
        response.headers.setdefault(OPENER_POLICY, "same-origin")


def over_https(request: web.Request) -> bool:
    """Tell whether the browser speaks HTTPS, to this server or to a proxy before it."""
    return request.secure or request.headers.get("X-Forwarded-Proto") == "https"


def host_name(host: str) -> str:
    """Return the name in a Host header, without port, brackets and final dot, in lower case."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
    return name.rstrip(".").lower()


def middleware(allowed_hosts: Collection[str]) -> Any:
    """Return the middleware that turns down foreign names and foreign pages."""
    allowed = LOOPBACK_NAMES | {host_name(_bracketed(name)) for name in allowed_hosts}

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if host_name(request.headers.get(hdrs.HOST, "")) not in allowed:
            raise ProblemError(
                421,
                "host_not_allowed",
                "This host name isn't allowed. To allow it, add it to TAILRACE_ALLOWED_HOSTS.",
            )
        if request.method not in SAFE_METHODS and not _from_own_page(request):
            raise ProblemError(403, "foreign_origin", "Blocked: the request came from another site.")
        return await handler(request)

    return guard


def _bracketed(name: str) -> str:
    return f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name


def _from_own_page(request: web.Request) -> bool:
    """Tell whether a page of this server, or something that is no browser, sent the request."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == request.headers.get(hdrs.HOST, "").lower()
    except ValueError:
        return False
