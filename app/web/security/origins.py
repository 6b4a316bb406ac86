"""Other origins, whose pages may call the API and import its client (Fetch Standard, section 3.3).

The operator trusts and lists them.
"""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import hdrs, web

from app import hosts
from app.web.app_keys import BASE

API = "/api/"
# For other pages: what they import runs with their rights, not ours.
MODULES = frozenset({"/static/client.js", "/static/element.js"})
HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, traceparent, tracestate"
PREFLIGHT: dict[str, str] = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PATCH, DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: HEADERS,
    hdrs.ACCESS_CONTROL_MAX_AGE: "7200",  # s; browsers keep it for no longer
}
EXPOSED = "Location, Retry-After, WWW-Authenticate"
# A page of the internet that calls a server of the local network asks for this (W3C Private Network Access).
ASKS_PRIVATE, ALLOWS_PRIVATE = (
    "Access-Control-Request-Private-Network",
    "Access-Control-Allow-Private-Network",
)


class Origins:
    """The origins of `TAILRACE_ALLOWED_ORIGINS`. Raises `ValueError` for what is no origin."""

    def __init__(self, entries: Collection[str] = ()) -> None:
        self._allowed = frozenset(map(parsed, entries))

    def __repr__(self) -> str:
        return f"<Origins {sorted(self._allowed)}>"

    def allow(self, request: web.Request) -> bool:
        """Return whether the request comes from one of them, and asks for what is meant for other pages."""
        text = request.headers.get(hdrs.ORIGIN) if self._allowed else None
        if text is None or hosts.origin(text) not in self._allowed:
            return False
        path = request.path.removeprefix(request.app[BASE])
        return path.startswith(API) or path in MODULES

    async def add(self, request: web.Request, response: web.StreamResponse) -> None:
        """Signal `on_response_prepare`: let the page read the answer, whatever it is."""
        if not self._allowed:
            return
        if self.allow(request):
            headers = response.headers
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
            headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
            headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED
        # A cache must not give one origin's answer to another. An owner node may have said so already.
        if hdrs.ORIGIN not in response.headers.getall(hdrs.VARY, ()):
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)


def parsed(text: str) -> hosts.Origin:
    """Return an origin. Raises `ValueError` if it is none."""
    origin = hosts.origin(text)
    if origin is None:
        raise ValueError(f"not an origin: {text!r}")
    return origin


def is_preflight(request: web.Request) -> bool:
    """Return whether a browser asks if a page may send a request. It carries neither cookie nor token."""
    return request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers


def preflight(request: web.Request) -> web.Response:
    """Return the answer for an allowed origin."""
    response = web.Response(status=204, headers=PREFLIGHT)
    if request.headers.get(ASKS_PRIVATE) == "true":
        response.headers[ALLOWS_PRIVATE] = "true"
    return response
