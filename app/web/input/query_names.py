"""Query parameters that an address of the API does not have: a misspelt one would be ignored without a word."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from functools import wraps

from aiohttp import web
from aiohttp.typedefs import Handler

from app.web.problems import ProblemError

SHOWN = 64  # characters of a name


def only(handler: Handler, names: Collection[str]) -> Handler:
    """Return the handler for requests with these query parameters alone. Others get a 422 that names them."""

    @wraps(handler)
    async def checked(request: web.Request) -> web.StreamResponse:
        if request.query_string:
            _check(request.query, names)
        return await handler(request)

    return checked


def _check(asked: Collection[str], names: Collection[str]) -> None:
    unknown = next((name for name in asked if name not in names), None)
    if unknown is None:
        return
    near = get_close_matches(unknown[:SHOWN], names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    known = f"This address takes {', '.join(names)}." if names else "This address takes none."
    raise ProblemError(
        422, "unknown_parameter", f"There is no query parameter {unknown[:SHOWN]!r}.{hint} {known}"
    )
