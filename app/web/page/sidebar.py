"""The session list in the sidebar: one part of all sessions or of a search's results."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web
from yarl import URL

from app.chat.errors import SearchBusy, SearchTimeout, TailraceError
from app.chat.records import Page, SessionInfo
from app.web.i18n import translations
from app.web.input.searches import checked_cursor, checked_search
from app.web.input.session_ids import list_page
from app.web.problems import ProblemError, problem_of, told
from app.web.rules import PAGE_SIZE


class SidebarList(NamedTuple):
    """One part of the list. `further` is the page's address with the next part; `None` on the last.

    `elsewhere` is true if the page's own session is not in this part, and this is not a search.
    """

    sessions: list[SessionInfo]
    query: str
    further: str | None
    elsewhere: bool
    complaint: str | None = None  # why the search was refused


async def sidebar_list(request: web.Request, here: URL, shown: str | None) -> SidebarList:
    """Return the part selected by `?q=` and `?after=` of the page `here`. `shown` is the id of the page's session."""
    query = here.query.get("q", "")
    try:
        page = await _page(request, here)
    except (ProblemError, SearchBusy, SearchTimeout) as error:
        return SidebarList([], query, None, shown is not None, complaint=_sentence(request, error))
    further = str(here.update_query(after=page.next)) if page.next else None
    is_listed = any(session.session_id == shown for session in page.sessions)
    return SidebarList(page.sessions, query, further, shown is not None and not query and not is_listed)


async def _page(request: web.Request, here: URL) -> Page:
    query, after = checked_search(here.query), checked_cursor(here.query)
    return await list_page(request, query, after, PAGE_SIZE)


def _sentence(request: web.Request, error: ProblemError | TailraceError) -> str:
    """Return what is shown instead of the list: a search that is refused does not refuse the page."""
    return told(translations.of(request), problem_of(error))
