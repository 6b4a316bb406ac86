"""Which site a request comes from, by `Sec-Fetch-…` and `Origin`, and what a request of another site may do.

A page of another site can make a browser send any GET here, and measure how long the answer takes even if it can't read
it. So such a request is refused before any work is done, unless the reader follows a link, which leaves the other page.

Sources: W3C Fetch Metadata, Fetch Standard section 3.1 (Origin), Speculation Rules (Sec-Purpose).
"""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import hdrs, web

from app import hosts
from app.web.http import forwarded

SITE, MODE, DESTINATION = "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"
PURPOSES = ("Sec-Purpose", "Purpose", "X-Moz")  # the latter two in older browsers
OWN_SITES = frozenset({"same-origin", "none"})  # `none`: by the reader, such as from the address bar


def may_act(request: web.Request, asked: hosts.Authority, allowed: Collection[hosts.Allowed]) -> bool:
    """Return whether a request may change something: from a page of this server, or from no browser."""
    site = _site(request)
    return site in OWN_SITES if site is not None else _is_own_origin(request, asked, allowed)


def may_read(
    request: web.Request, asked: hosts.Authority, allowed: Collection[hosts.Allowed], *, frames: bool
) -> bool:
    """Return whether a request may read: as `may_act`, or as a page that the reader goes to from another site.

    That is a top-level navigation, with `frames` also one in an `iframe`; never one in an `embed` or `object`, and
    none ahead of the reader's decision.
    """
    if may_act(request, asked, allowed):
        return True
    navigates = request.headers.get(MODE) == "navigate" and request.headers.get(DESTINATION) in (
        ("document", "iframe") if frames else ("document",)
    )
    return navigates and not any("prefetch" in request.headers.get(name, "").lower() for name in PURPOSES)


def _site(request: web.Request) -> str | None:
    values = request.headers.getall(SITE, ())
    return ", ".join(values) if values else None


def _is_own_origin(request: web.Request, asked: hosts.Authority, allowed: Collection[hosts.Allowed]) -> bool:
    """Return whether `Origin` is this server, or missing. This is the only place that decides about an origin."""
    if hdrs.ORIGIN not in request.headers:
        return True
    origin = hosts.origin(request.headers[hdrs.ORIGIN])
    if origin is None:
        return False
    # A proxy that replaces Host often forwards the original one here. Pages of other sites cannot set this header.
    first = forwarded.host(request)
    if first is not None and not hosts.is_allowed(first, forwarded.scheme(request), allowed):
        first = None
    return any(at is not None and hosts.is_same(origin, at, _scheme(request, at)) for at in (asked, first))


def _scheme(request: web.Request, at: hosts.Authority) -> str | None:
    """Return the scheme that the browser used; `None` if only a proxy knows it, which does not say.

    By default Apache forwards the host only. Without a proxy the scheme is HTTP, unless the port is that of HTTPS.
    """
    told = forwarded.scheme(request)
    if told is not None or forwarded.is_proxied(request):
        return told
    return "https" if at.port == hosts.DEFAULT_PORTS["https"] else "http"
