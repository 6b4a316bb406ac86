"""Which headers of a request and of its response are passed on between two nodes."""

from __future__ import annotations

from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy

from app.web.http import cookies, forwarded
from app.web.nodes import signature
from app.web.problems import CODE_HEADER

# They concern one connection only (RFC 9110, section 7.6.1).
HOP_BY_HOP = frozenset(
    each.lower()
    for each in (
        hdrs.CONNECTION,
        "Keep-Alive",
        "Proxy-Connection",
        hdrs.PROXY_AUTHENTICATE,
        hdrs.PROXY_AUTHORIZATION,
        hdrs.TE,
        hdrs.TRAILER,
        hdrs.TRANSFER_ENCODING,
        hdrs.UPGRADE,
        hdrs.EXPECT,
    )
)
# What the sender has judged already and says in its own words, or what proves to it alone who the client is.
JUDGED = frozenset(
    each.lower()
    for each in (
        hdrs.AUTHORIZATION,
        hdrs.CONTENT_LENGTH,
        hdrs.COOKIE,
        hdrs.FORWARDED,
        hdrs.HOST,
        hdrs.X_FORWARDED_FOR,
        forwarded.HOST,
        forwarded.PROTO,
        signature.HEADER,
    )
)
ABOUT_RESPONSE = frozenset(each.lower() for each in (hdrs.DATE, hdrs.SERVER, CODE_HEADER))
OUR_COOKIES = "tailrace_"


def of_request(request: web.Request) -> CIMultiDict[str]:
    """Return the headers for the owner node: the client's, without what is for this node alone.

    What the client names in `Connection` is sent all the same: to it all nodes are one server, and the owner's own
    clients are answered by it, too.
    """
    ours = _end_to_end(request.headers, JUDGED)
    # What is not UTF-8 cannot be sent as it came. With a sign in its place it is refused likewise where it matters.
    sent = CIMultiDict((name, _readable(value)) for name, value in ours.items())
    sent[hdrs.HOST] = request.headers.get(hdrs.HOST, "")
    if chosen := _cookies(request):
        sent[hdrs.COOKIE] = _readable(chosen)
    if (scheme := forwarded.scheme(request)) is not None:
        sent[forwarded.PROTO] = scheme
    if (host := forwarded.host(request)) is not None:
        name = f"[{host.host}]" if ":" in host.host else host.host
        sent[forwarded.HOST] = name if host.port is None else f"{name}:{host.port}"
    return sent


def of_response(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Return the headers for the client. Those of every response are added again by this node."""
    return _end_to_end(headers, ABOUT_RESPONSE)


def _end_to_end(headers: CIMultiDictProxy[str], others: frozenset[str]) -> CIMultiDict[str]:
    left = HOP_BY_HOP | others
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in left)


def _readable(value: str) -> str:
    return value.encode(errors="surrogateescape").decode(errors="replace")


def _cookies(request: web.Request) -> str:
    """Return the cookies that choose how a page looks. Those of other programs on the host are nobody's business."""
    names = [(pair.partition("=")[0].strip(), pair.strip()) for pair in cookies.pairs(request)]
    return "; ".join(pair for name, pair in names if name.startswith(OUR_COOKIES) and name != cookies.SIGN_IN)
