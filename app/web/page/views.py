"""Session pages, rendered on the server."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from aiohttp import hdrs, web
from yarl import URL

from app import __version__
from app.chat.errors import TailraceError
from app.chat.ports import Options
from app.log.entries import Begun
from app.web.api import message_range
from app.web.api.sessions import take_snapshot
from app.web.app_keys import CATALOG, LIMITS, PULSE, REGISTRY, RENDERER
from app.web.http.addresses import at, here
from app.web.i18n import translations
from app.web.input import bodies
from app.web.page.live.snapshots import PageMessage, PageSnapshot, rendered
from app.web.page.model_menu import is_blind, model_menu
from app.web.page.noscript import growing_page
from app.web.page.sidebar import sidebar_list
from app.web.page.templates import render

LONG = 2 * message_range.MESSAGES  # a page with more messages is rendered in a thread


async def new_session_page(request: web.Request) -> web.StreamResponse:
    """GET /: the page of a new session. The first prompt creates the session."""
    return await show(request, empty(secrets.token_urlsafe(12)))


async def session_page(request: web.Request) -> web.StreamResponse:
    """GET /sessions/{session_id}?branch=&from=&all="""
    session_id = bodies.path_id(request, "session_id")
    session = await session_of(request, session_id, request.query.get("branch"))
    if growing_page.COOKIE in request.cookies and (answer := _growing(request, session)):
        return await _flow(request, session, answer)
    return await show(request, session)


async def session_of(request: web.Request, session_id: str, through: str | None = None) -> PageSnapshot:
    """Return a session's snapshot for its page, with rendered answers."""
    part = message_range.asked(request)
    snapshot = await take_snapshot(request, session_id, through, part)
    return await rendered(request.app[RENDERER], snapshot, thoughts=True)


def _growing(request: web.Request, session: PageSnapshot) -> PageMessage | None:
    """Return the last message of the page if it is an answer in progress."""
    last = session.messages[-1] if session.messages else None
    if last is None or last.outcome is not None or last.stream_id is None:
        return None
    return last if request.app[REGISTRY].is_live(session.session_id, last.stream_id) else None


async def _flow(request: web.Request, session: PageSnapshot, answer: PageMessage) -> web.StreamResponse:
    """Stream the answer into the page, for a browser without scripts."""
    registry = request.app[REGISTRY]
    live, stream_id = registry.session(session.session_id), answer.stream_id or ""
    view = live.log.answer
    is_begun = view is not None and view.stream_id == stream_id
    begun = view.begun if view is not None and is_begun else Begun(answer.content, answer.reasoning)
    place = growing_page.place_of(answer.message_id)

    async def pieces_of(seen: PageSnapshot) -> growing_page.Pieces:
        page = (await show(request, seen, growing=place)).text or ""
        return growing_page.cut(page, place.mark)

    async def again() -> growing_page.Pieces | None:
        try:
            return await pieces_of(await session_of(request, session.session_id, place.message_id))
        except TailraceError:
            return None  # Deleted, or the database is away: what was rendered first has an end, too.

    viewer = growing_page.PlainViewer(
        live,
        stream_id,
        begun,
        request.app[PULSE],
        request.app[RENDERER],
        is_live=lambda: registry.is_live(session.session_id, stream_id),
        pieces=await pieces_of(session),
        again=again,
    )
    return await viewer.serve(request)


def empty(session_id: str) -> dict[str, Any]:
    """Return a session that does not exist yet, with the fields of a snapshot."""
    return {
        "session_id": session_id,
        "title": "",
        "messages": [],
        "cursor": None,
        "running": None,
    }


async def show(
    request: web.Request,
    session: Any,
    *,
    typed: Mapping[str, str] = MappingProxyType({}),
    error: str | None = None,
    code: str | None = None,
    status: int = 200,
    growing: growing_page.Place | None = None,
) -> web.Response:
    """Return the page of a session. `typed` holds the form fields to keep when a form is shown again.

    The `growing` answer is replaced by its mark.
    """
    address = _address(request, session)
    listed = await request.app[CATALOG].listing()
    context = {
        "version": __version__,
        "here": address,
        "session": session,
        "listing": await sidebar_list(
            request, address, None if isinstance(session, dict) else session.session_id
        ),
        "deleted": _deleted(request),
        "picker": model_menu(
            listed,
            translations.of(request),
            typed.get("model"),
            _last_model(session),
            search=typed.get("find_model", ""),
        ),
        "is_blind": is_blind,
        "draft": typed.get("prompt") or typed.get("example", ""),
        "options": typed or (Options() if isinstance(session, dict) else session.options),
        "error": error,
        "code": code,
        "growing": growing,
        "continuing": "ask" if request.app[LIMITS].continuing else "off",
    }
    make = partial(render, request, "session.html", context, status=status)
    # A page of a thousand messages takes a quarter of a second to render.
    return await asyncio.to_thread(make) if len(_messages(session)) > LONG else make()


def _address(request: web.Request, session: Any) -> URL:
    """Return the address of the page: of a POST, that of the session's page, or `/` if the session is empty."""
    if request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
        return here(request).without_query_params("deleted")
    return URL(at(request, "/" if isinstance(session, dict) else f"/sessions/{session.session_id}"))


def _last_model(session: Any) -> str | None:
    """Return the model of the last answer."""
    messages = reversed(_messages(session))
    return next((message.model for message in messages if message.role == "assistant"), None)


def _messages(session: Any) -> list[Any]:
    return list(session["messages"] if isinstance(session, dict) else session.messages)


def _deleted(request: web.Request) -> str | None:
    """Return the id of the session just deleted, from `?deleted=`."""
    session_id = request.query.get("deleted", "")
    return session_id if re.fullmatch(bodies.ID_PATTERN, session_id) else None
