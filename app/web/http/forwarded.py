"""The client's address, and the host and scheme that the browser used, from the headers of a proxy if there is one.

Without trusted proxies the address is the peer's, and host and scheme are believed from any peer. A page of another
site cannot set these headers (that needs a CORS preflight, which is never granted), and a client that forges them
affects only itself: they decide the `Secure` attribute of its own cookie and the host that its own `Origin` is compared
with. With trusted proxies all of them are believed from those alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aiohttp import hdrs, web

from app import hosts, networks
from app.networks import counting_key as counting_key
from app.web.app_keys import PASSED, PROXIES

PROTO, HOST = "X-Forwarded-Proto", "X-Forwarded-Host"
TRACES = (HOST, hdrs.X_FORWARDED_FOR, hdrs.FORWARDED)

# A pair of `Forwarded` and the sign after it (RFC 7239, section 4). Unquoted values may have colons and brackets: many
# proxies write `for=192.0.2.1:4711`.
_PAIR = re.compile(
    r"[ \t]*+(?:(?P<name>[\w!#$%&'*+.^`|~-]++)="
    r"(?:(?P<token>[\w!#$%&'*+.^`|~:\[\]-]++)|\"(?P<quoted>[^\"\\]*+(?:\\.[^\"\\]*+)*)\"))?[ \t]*+(?P<end>[;,])",
    re.ASCII,
)


def peer(request: web.BaseRequest) -> str:
    """Return the address at the other end of the connection: the client or a proxy."""
    return networks.peer(request.remote)


def client(request: web.Request) -> str:
    """Return the address of the client: the peer, or whom trusted proxies forward for.

    Of a request that another node passed on, it is what that node found.

    `X-Forwarded-For` is read from the right, up to the first address that is not trusted. `Forwarded` is read only if
    that is missing.
    """
    if PASSED in request:
        return request[PASSED].client
    nearest, proxies = peer(request), request.app[PROXIES]
    return proxies.client(nearest, _hops(request)) if proxies.trusts(nearest) else nearest


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
    name = named(request)
    return None if name is None else hosts.authority(name)


def named(request: web.Request) -> str | None:
    """Return the host that the request was sent to, as it was written; `None` if `Host` is missing."""
    header = request.headers.get(hdrs.HOST)
    # If the target is in absolute form, `Host` is ignored (RFC 9112, section 3.2.2).
    return header if header is None or request.host == header else request.url.raw_authority


def host(request: web.Request) -> hosts.Authority | None:
    """Return the host that the browser sent to the first proxy, if it was forwarded."""
    return hosts.authority(_first(request, HOST) or _rfc_7239(request, "host"))


def is_proxied(request: web.Request) -> bool:
    """Return whether a proxy that is believed has left its headers. A page of another site can't set them."""
    return any(name in request.headers for name in TRACES) and _is_believed(request)


def _is_believed(request: web.Request) -> bool:
    proxies = request.app[PROXIES]
    return not proxies or PASSED in request or proxies.trusts(peer(request))


def _first(request: web.Request, name: str) -> str:
    if name not in request.headers or not _is_believed(request):
        return ""
    values = ",".join(request.headers.getall(name)).split(",")
    return next((value.strip() for value in values if value.strip()), "")


def _rfc_7239(request: web.Request, name: str) -> str:
    if hdrs.FORWARDED not in request.headers or not _is_believed(request):
        return ""
    elements = (each for line in request.headers.getall(hdrs.FORWARDED) for each in _elements(line) or ())
    return next((element[name] for element in elements if name in element), "")


def _hops(request: web.Request) -> Iterator[str | None]:
    """Return the forwarded addresses, the nearest first; `None` for one that cannot be read."""
    for line in reversed(request.headers.getall(hdrs.X_FORWARDED_FOR, ())):
        yield from (entry for entry in reversed(line.split(",")) if entry.strip())
    if hdrs.X_FORWARDED_FOR not in request.headers:
        for line in reversed(request.headers.getall(hdrs.FORWARDED, ())):
            elements = _elements(line)
            yield from (None,) if elements is None else (each.get("for") for each in reversed(elements))


def _elements(line: str) -> list[dict[str, str]] | None:
    """Return the elements of a `Forwarded` field, `None` if it is malformed.

    A field with a syntax error anywhere is not read at all. A client may send an open quotation mark, so that the
    quotation mark of the proxy's own element closes it and the client's element appears to be the last one.
    """
    found: list[dict[str, str]] = []
    line += ","
    at, element = 0, dict[str, str]()
    while at < len(line):
        pair = _PAIR.match(line, at)
        if pair is None or (name := (pair["name"] or "").lower()) in element:
            return None
        if name:
            element[name] = pair["token"] or re.sub(r"\\(.)", r"\1", pair["quoted"] or "")
        if pair["end"] == "," and element:
            found.append(element)
            element = {}
        at = pair.end()
    return found
