"""The session list in the sidebar: one part of all sessions or of a search's results."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web
from yarl import URL

from app.chat.records import SessionInfo
from app.web.app_keys import HISTORY, OWNER

PART = 50  # sessions per part


class SidebarList(NamedTuple):
    """One part of the list. `further` is the page's address with the next part; `None` on the last.

    `elsewhere` is true if the page's own session is not in this part, and this is not a search.
    """

    sessions: list[SessionInfo]
    query: str
    further: str | None
    elsewhere: bool


async def sidebar_list(request: web.Request, here: URL, shown: str | None) -> SidebarList:
    """Return the part selected by `?q=` and `?after=` of the page `here`. `shown` is the id of the page's session."""
    query, after = here.query.get("q", ""), here.query.get("after")
    history = request.app[HISTORY]
    page = await history.sessions(request[OWNER], query=query, after=after, limit=PART)
    further = str(here.update_query(after=page.next)) if page.next else None
    is_listed = any(session.session_id == shown for session in page.sessions)
    return SidebarList(page.sessions, query, further, shown is not None and not query and not is_listed)
