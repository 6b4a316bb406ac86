"""Addresses that come with a request and lead somewhere: nobody is sent to another site by one."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from aiohttp import hdrs, web

from app import hosts
from app.web import forwarded


def local_path(target: str) -> str:
    """Return `target` if it is a path of this server, else `/`: a login page must not send people elsewhere."""
    local = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if local else "/"


def came_from(request: web.Request) -> str | None:
    """Return the path of the page of this server that led here, `None` if there is none to go back to."""
    try:
        page = urlsplit(request.headers.get(hdrs.REFERER, ""))
    except ValueError:
        return None
    if not _is_here(request, page) or page.path.startswith("/api/"):
        return None  # under /api/ there is nothing to read: what showed it was the answer to a form
    path = local_path(page.path + (f"?{page.query}" if page.query else ""))
    return path if path not in ("/", request.path_qs) else None


def _is_here(request: web.Request, page: SplitResult) -> bool:
    origin = hosts.origin(f"{page.scheme}://{page.netloc}")
    own = (forwarded.asked(request), forwarded.host(request))
    scheme = forwarded.scheme(request)
    return origin is not None and any(at and hosts.is_same(origin, at, scheme) for at in own)
