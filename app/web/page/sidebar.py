"""The list of sessions beside a conversation: a part of it, perhaps of what a search found."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web
from yarl import URL

from app.chat.records import SessionInfo
from app.web.app_keys import HISTORY, OWNER

PART = 50  # sessions that are shown at once


class SidebarList(NamedTuple):
    """What the list shows; `further` is the address of the same page with the next part of it.

    The session that the page shows is `elsewhere` if it exists, and should be marked, but is not in this part.
    """

    sessions: list[SessionInfo]
    query: str
    further: str | None
    elsewhere: bool


async def sidebar_list(request: web.Request, here: URL, shown: str | None) -> SidebarList:
    """Return the part of the list that `?q=` and `?after=` of the page `here` ask for. `shown` is its session."""
    query, after = here.query.get("q", ""), here.query.get("after")
    history = request.app[HISTORY]
    page = await history.sessions(request[OWNER], query=query, after=after, limit=PART)
    further = str(here.update_query(after=page.next)) if page.next else None
    is_listed = any(session.session_id == shown for session in page.sessions)
    return SidebarList(page.sessions, query, further, shown is not None and not query and not is_listed)
