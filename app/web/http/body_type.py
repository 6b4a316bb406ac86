"""The media type of a request's body (RFC 9110, section 8.3)."""

from __future__ import annotations

from aiohttp import hdrs, web


def body_type(request: web.BaseRequest) -> str:
    """Return it in lower case and without parameters; empty if the request names none.

    aiohttp's `content_type` takes the parameters apart, too: for a header full of quotation marks in nearly a second.
    """
    return request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
