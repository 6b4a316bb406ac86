"""The cookies of a request, all values of each. aiohttp's `cookies` has one value of each name."""

from __future__ import annotations

from aiohttp import hdrs, web

SIGN_IN = "tailrace_access"  # of a signed-in browser


def pairs(request: web.Request) -> list[str]:
    """Return all cookies of a request as `name=value`, as they came, in the order of the header."""
    return ";".join(request.headers.getall(hdrs.COOKIE, ())).split(";")


def values(request: web.Request, name: str) -> list[str]:
    """Return the values of all cookies of this name, in the order of the header.

    A page of a sibling domain, or of the same host on another port or path, can set a cookie of the same name. A
    browser then sends both, in an order that such a page controls (RFC 6265, section 5.4).
    """
    found = (pair.partition("=") for pair in pairs(request))
    return [value.strip().strip('"') for key, _, value in found if key.strip() == name]
