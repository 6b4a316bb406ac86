"""The list of sessions beside a conversation: a part of it, perhaps of what a search found."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web
from yarl import URL

from app.streams.records import SessionInfo
from app.web.keys import OWNER, REGISTRY

PART = 50  # sessions that are shown at once


class Listing(NamedTuple):
    """What the list shows; `further` is the address of the same page with the next part of it."""

    sessions: list[SessionInfo]
    query: str
    further: str | None


async def listing(request: web.Request, here: URL) -> Listing:
    """Return the part of the list that `?q=` and `?after=` of the page `here` ask for."""
    query, after = here.query.get("q", ""), here.query.get("after")
    history = request.app[REGISTRY].history
    page = await history.sessions(request[OWNER], query=query, after=after, limit=PART)
    return Listing(page.sessions, query, str(here.update_query(after=page.next)) if page.next else None)
