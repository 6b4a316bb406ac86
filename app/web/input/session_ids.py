"""Session ids at the edge of the server: scoped by their owner on the way in, bare on the way out.

Everything below the web layer knows a session by its scoped id; see `app.chat.scoped_ids`.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from app.chat.records import Page
from app.chat.scoped_ids import bare, scoped
from app.web.app_keys import HISTORY, OWNER, TURN
from app.web.input import bodies


class _HasSessionId(Protocol):
    @property
    def session_id(self) -> str: ...


S = TypeVar("S", bound=_HasSessionId)


def path_session(request: web.Request) -> str:
    """Return the scoped id of the session in the path. Raises a 422 if it is malformed."""
    return own(request, bodies.path_id(request, "session_id"))


def own(request: web.Request, session_id: str) -> str:
    """Return the scoped id of a session of the requesting owner."""
    return scoped(request[OWNER], session_id)


def shown(record: S) -> S:
    """Return a record of a session as its owner may see it: with the bare id."""
    session_id = bare(record.session_id)
    if session_id == record.session_id:
        return record
    return msgspec.structs.replace(record, session_id=session_id)  # type: ignore[type-var]


async def list_page(request: web.Request, query: str, after: str | None, limit: int) -> Page:
    """Return a part of the owner's session list, as `History.sessions` does; its ids and its cursor are bare."""
    if after is not None:
        time, space, session_id = after.partition(" ")
        after = f"{time}{space}{own(request, session_id)}"
    history, owner = request.app[HISTORY], request[OWNER]
    turn = request.get(TURN) if query else None
    # Searches have turns of their own, and may take seconds.
    async with nullcontext() if turn is None else turn.aside():
        page = await history.sessions(owner, query=query, after=after, limit=limit)
    following = page.next
    if following is not None:
        time, space, session_id = following.partition(" ")
        following = f"{time}{space}{bare(session_id)}"
    return Page([shown(info) for info in page.sessions], following)
