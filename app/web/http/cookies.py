"""All values of a cookie. aiohttp's `cookies` has one value of each name."""

from __future__ import annotations

from aiohttp import hdrs, web


def values(request: web.Request, name: str) -> list[str]:
    """Return the values of all cookies of this name, in the order of the header.

    A page of a sibling domain, or of the same host on another port or path, can set a cookie of the same name. A
    browser then sends both, in an order that such a page controls (RFC 6265, section 5.4).
    """
    pairs = ";".join(request.headers.getall(hdrs.COOKIE, ())).split(";")
    found = (pair.partition("=") for pair in pairs)
    return [value.strip().strip('"') for key, _, value in found if key.strip() == name]
