"""Redirects after a form."""

from __future__ import annotations

from string import punctuation
from urllib.parse import quote

from aiohttp import hdrs, web
from yarl import URL


def see_other(address: str | URL) -> web.Response:
    """Return a 303 to an address.

    To be returned, unlike `web.HTTPSeeOther`: an exception keeps the frames that it passed, and so the request's body,
    until the next collection of garbage.
    """
    location = quote(str(address), safe=punctuation)  # a header is ASCII; what is encoded already stays
    return web.Response(status=303, headers={hdrs.LOCATION: location})
