"""Redirects addresses with a missing or extra trailing slash (308, which keeps method and body)."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from app.web.http.addresses import here


async def add(request: web.Request) -> web.StreamResponse:
    """GET of the base path: redirect to the start page, which has a trailing slash."""
    raise _moved(here(request), here(request).raw_path + "/")


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Redirect an unknown address to the one without the trailing slash, if that exists."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        path = request.rel_url.raw_path.rstrip("/")
        if not path or path == request.rel_url.raw_path or request.match_info.http_exception is None:
            raise
        without = request.clone(rel_url=request.rel_url.with_path(path, encoded=True))
        if (await request.app.router.resolve(without)).http_exception is not None:
            raise
    raise _moved(here(request), here(request).raw_path.rstrip("/"))


def _moved(address: URL, path: str) -> web.HTTPPermanentRedirect:
    return web.HTTPPermanentRedirect(address.with_path(path, encoded=True, keep_query=True))
