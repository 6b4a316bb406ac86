"""The server's own addresses, and the validation of addresses in requests.

All addresses that the server sends start with its base path (`TAILRACE_BASE_PATH`). It accepts requests with and
without that path, so it does not matter whether a proxy strips it.
"""

from __future__ import annotations

import posixpath
from urllib.parse import SplitResult, unquote, urlsplit

from aiohttp import hdrs, web
from yarl import URL

from app import hosts
from app.web.app_keys import BASE
from app.web.http import forwarded

HEALTH = ("/healthz", "/readyz", "/servez")  # for every machine that asks, and without waiting for a turn


def at(request: web.Request, path: str) -> str:
    """Return `path`, which starts with a slash, with the base path in front."""
    return request.app[BASE] + path


def cookie_path(request: web.Request) -> str:
    """Return the path for cookies, so that other sites on the same host do not get them."""
    return request.app[BASE] or "/"


def here(request: web.Request) -> URL:
    """Return the address of a request as the browser sent it, with the base path."""
    base, path = request.app[BASE], request.rel_url.raw_path
    if not base or _is_under(base, path):
        return request.rel_url
    return request.rel_url.with_path(base + path, encoded=True, keep_query=True)


def local_path(request: web.Request, target: str) -> str:
    """Return `target` if it is a path of this server, else the start page. Prevents open redirects."""
    local = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    path = posixpath.normpath(unquote(target.partition("?")[0]))
    return target if local and _is_under(request.app[BASE], path) else at(request, "/")


def came_from(request: web.Request) -> str | None:
    """Return the path of the referring page of this server; `None` if there is none to go back to."""
    try:
        page = urlsplit(request.headers.get(hdrs.REFERER, ""))
    except ValueError:
        return None
    if not _is_here(request, page) or page.path.startswith(at(request, "/api/")):
        return None  # no page is under /api/: the referrer was the response to a form
    path = local_path(request, page.path + (f"?{page.query}" if page.query else ""))
    return path if path not in (at(request, "/"), str(here(request))) else None


def _is_under(base: str, path: str) -> bool:
    return path == base or path.startswith(base + "/")


def _is_here(request: web.Request, page: SplitResult) -> bool:
    origin = hosts.origin(f"{page.scheme}://{page.netloc}")
    own = (forwarded.asked(request), forwarded.host(request))
    scheme = forwarded.scheme(request)
    return origin is not None and any(each and hosts.is_same(origin, each, scheme) for each in own)
