"""What the browser asked for, where a proxy may stand between: the host and the scheme, as the headers tell.

These headers are believed from any peer. A page of another site cannot set them (that takes a CORS preflight, which
is never answered), and a client that lies about them deceives only itself: they decide about the `Secure` of its own
cookie and about what its own `Origin` is compared with.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from app import hosts

PROTO, HOST = "X-Forwarded-Proto", "X-Forwarded-Host"


def scheme(request: web.Request) -> str | None:
    """Return `http` or `https`, as the browser uses it; `None` if no proxy tells and this connection is a plain one.

    Of several values (`https, http`) the first counts: it is of the proxy that the browser talks to.
    """
    if request.secure:
        return "https"
    told = (_first(request, PROTO) or _rfc_7239(request, "proto")).lower()
    return told if told in hosts.DEFAULT_PORTS else None


def is_https(request: web.Request) -> bool:
    """Tell whether the browser uses HTTPS, to this server or to a proxy in front of it."""
    return scheme(request) == "https"


def asked(request: web.Request) -> hosts.Authority | None:
    """Return the host that the request was sent to; `None` if `Host` is missing or malformed."""
    header = request.headers.get(hdrs.HOST)
    if header is None:
        return None
    # With the absolute form of the target `Host` does not count (RFC 9112, section 3.2.2).
    return hosts.authority(header if request.host == header else request.url.authority)


def host(request: web.Request) -> hosts.Authority | None:
    """Return the host that the first proxy was asked for, if one tells."""
    return hosts.authority(_first(request, HOST) or _rfc_7239(request, "host"))


def _first(request: web.Request, name: str) -> str:
    values = ",".join(request.headers.getall(name, ())).split(",")
    return next((value.strip() for value in values if value.strip()), "")


def _rfc_7239(request: web.Request, name: str) -> str:
    return next((element[name] for element in request.forwarded if name in element), "")
