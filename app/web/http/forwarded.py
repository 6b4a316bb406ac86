"""The host and scheme that the browser used, from the headers of a proxy if there is one.

These headers are trusted from any peer. A page of another site cannot set them (that needs a CORS preflight, which is
never granted), and a client that forges them affects only itself: they decide the `Secure` attribute of its own cookie
and the host that its own `Origin` is compared with.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from app import hosts

PROTO, HOST = "X-Forwarded-Proto", "X-Forwarded-Host"


def scheme(request: web.Request) -> str | None:
    """Return the browser's scheme, `http` or `https`; `None` for a plain connection without a forwarded scheme.

    Of several values (`https, http`) the first counts: it comes from the proxy nearest to the browser.
    """
    if request.secure:
        return "https"
    told = (_first(request, PROTO) or _rfc_7239(request, "proto")).lower()
    return told if told in hosts.DEFAULT_PORTS else None


def is_https(request: web.Request) -> bool:
    """Return whether the browser uses HTTPS, to this server or to a proxy in front of it."""
    return scheme(request) == "https"


def asked(request: web.Request) -> hosts.Authority | None:
    """Return the host that the request was sent to; `None` if `Host` is missing or malformed."""
    header = request.headers.get(hdrs.HOST)
    if header is None:
        return None
    # If the target is in absolute form, `Host` is ignored (RFC 9112, section 3.2.2).
    return hosts.authority(header if request.host == header else request.url.authority)


def host(request: web.Request) -> hosts.Authority | None:
    """Return the host that the browser sent to the first proxy, if it was forwarded."""
    return hosts.authority(_first(request, HOST) or _rfc_7239(request, "host"))


def _first(request: web.Request, name: str) -> str:
    values = ",".join(request.headers.getall(name, ())).split(",")
    return next((value.strip() for value in values if value.strip()), "")


def _rfc_7239(request: web.Request, name: str) -> str:
    return next((element[name] for element in request.forwarded if name in element), "")
