"""Session pages, rendered on the server."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
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
from app.web.api.rendered import RenderedMessage
from app.web.api.sessions import take_snapshot
from app.web.app_keys import CATALOG, HISTORY, LIMITS, OWNER, PULSE, REGISTRY, RENDERER, TURN
from app.web.http.addresses import at, cookie_path, here
from app.web.i18n import translations
from app.web.input import bodies
from app.web.input.forms import LONG_TEXTS
from app.web.input.session_ids import own
from app.web.output.turns import in_thread
from app.web.page.live.snapshots import PageSnapshot, rendered
from app.web.page.model_menu import is_blind, model_menu
from app.web.page.noscript import growing_answer, growing_page
from app.web.page.sidebar import sidebar_list
from app.web.page.templates import Macros, in_parts, render

LONG = 8  # a page with more messages is rendered in a thread


async def new_session_page(request: web.Request) -> web.StreamResponse:
    """GET /: the page of a new session. The first prompt creates the session."""
    return await show(request, empty(secrets.token_urlsafe(12)))


async def session_page(request: web.Request) -> web.StreamResponse:
    """GET /sessions/{session_id}?branch=&from=&all="""
    session_id = bodies.path_id(request, "session_id")
    session = await session_of(request, session_id, message_range.branch(request))
    if growing_page.COOKIE in request.cookies and (answer := _growing(request, session)):
        return await _flow(request, session, answer)
    return await show(request, session)


async def session_of(request: web.Request, session_id: str, through: str | None = None) -> PageSnapshot:
    """Return a session's snapshot for its page, with rendered answers."""
    part = message_range.asked(request)
    scoped_id = own(request, session_id)
    async with in_turn(request):
        snapshot = await take_snapshot(request, scoped_id, through, part)
        return await rendered(request.app[RENDERER], snapshot, scoped_id, thoughts=True)


def _growing(request: web.Request, session: PageSnapshot) -> RenderedMessage | None:
    """Return the last message of the page if it is an answer in progress."""
    last = session.messages[-1] if session.messages else None
    if last is None or last.outcome is not None or last.stream_id is None:
        return None
    scoped_id = own(request, session.session_id)
    return last if request.app[REGISTRY].is_live(scoped_id, last.stream_id) else None


async def _flow(request: web.Request, session: PageSnapshot, answer: RenderedMessage) -> web.StreamResponse:
    """Stream the answer into the page, for a browser without scripts."""
    registry = request.app[REGISTRY]
    scoped_id, stream_id = own(request, session.session_id), answer.stream_id or ""
    live = registry.session(scoped_id)
    parts, begun = await _parts(request, session, answer.message_id), Begun(answer.content, answer.reasoning)

    async def renew() -> tuple[growing_answer.Parts, Begun]:
        try:
            seen = await session_of(request, session.session_id, answer.message_id)
            message = next(each for each in seen.messages if each.message_id == answer.message_id)
            now = Begun(message.content, message.reasoning)
            return await _parts(request, seen, answer.message_id), now
        except TailraceError:
            return parts, begun  # Deleted, or the database is away: what was rendered first has an end, too.

    viewer = growing_page.PlainViewer(
        live,
        stream_id,
        begun,
        request.app[PULSE],
        request.app[RENDERER],
        is_live=partial(registry.is_live, scoped_id, stream_id),
        kept=sum(len(message.content) + len(message.reasoning) for message in session.messages),
        parts=parts,
        renew=renew,
    )
    return await viewer.serve(request)


async def _parts(request: web.Request, session: PageSnapshot, message_id: str) -> growing_answer.Parts:
    """Return the parts of the page around an answer."""
    context = {
        **await _context(request, session),
        "place": [message.message_id for message in session.messages].index(message_id),
        "forgetting": growing_page.forgetting(cookie_path(request)),
    }
    return Macros(request, "growing.html", context)


def empty(session_id: str) -> PageSnapshot:
    """Return a session that does not exist yet. It has no cursor."""
    return PageSnapshot(
        session_id=session_id,
        title="",
        created_at="",
        updated_at="",
        options=Options(),
        branch=None,
        messages=[],
        cursor="",
        running=None,
    )


async def show(
    request: web.Request,
    session: PageSnapshot,
    *,
    typed: Mapping[str, str] = MappingProxyType({}),
    error: str | None = None,
    code: str | None = None,
    status: int = 200,
) -> web.Response:
    """Return the page of a session. `typed` holds the form fields to keep when a form is shown again."""
    async with in_turn(request):
        context = await _context(request, session, typed=typed, error=error, code=code)
        make = partial(render, request, "session.html", context, status=status)
        # A page of forty messages takes tens of milliseconds to render, one of a thousand a quarter of a second.
        return await in_thread(request.get(TURN), make) if len(session.messages) > LONG else make()


def in_turn(request: web.Request) -> AbstractAsyncContextManager[None]:
    """Hold the owner's turn for the duration of the block. A form has none before its answer is a page.

    That page keeps what was typed, so it is not refused.
    """
    turn = request.get(TURN)
    return nullcontext() if turn is None else turn.held(begun=request.method == hdrs.METH_POST)


async def _context(
    request: web.Request,
    session: PageSnapshot,
    *,
    typed: Mapping[str, str] = MappingProxyType({}),
    error: str | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    address = _address(request, session)
    listed = await request.app[CATALOG].listing()
    return {
        "version": __version__,
        "here": address,
        "session": session,
        "earlier": _earlier(address, session),
        "in_progress": any(each.role == "assistant" and each.outcome is None for each in session.messages),
        "listing": await sidebar_list(request, address, session.session_id if session.cursor else None),
        "deleted": await _deleted(request),
        "picker": model_menu(
            listed,
            translations.of(request),
            typed.get("model"),
            _last_model(session),
            search=typed.get("find_model", ""),
        ),
        "is_blind": is_blind,
        "draft": in_parts(typed.get("prompt") or typed.get("example", "")),
        **_options(session.options, typed),
        "error": error,
        "code": code,
        "continuing": "ask" if request.app[LIMITS].continuing else "off",
    }


def _options(options: Options, typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the options to show: those of the session, or the fields of the form that is shown again."""
    system = typed.get("system", "") if typed else options.system or ""
    stop = typed.get("stop", "") if typed else "\n".join(options.stop or ())
    return {
        "system": in_parts(system),
        "stop": in_parts(stop),
        "options": {name: text for name, text in typed.items() if name not in LONG_TEXTS} or options,
    }


def _address(request: web.Request, session: PageSnapshot) -> URL:
    """Return the address of the page: of a POST, that of the session's page, or `/` if the session is empty."""
    if request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
        return here(request).without_query_params("deleted")
    return URL(at(request, f"/sessions/{session.session_id}" if session.cursor else "/"))


def _earlier(address: URL, session: PageSnapshot) -> URL:
    """Return the address of earlier messages: as many as a page may have, and from there on those before them."""
    if address.query.get("all") != "1" and "before" not in address.query:
        return address.update_query(all=1)
    first = session.messages[0].message_id if session.messages else ""
    return address.without_query_params("from").update_query(all=1, before=first)


def _last_model(session: PageSnapshot) -> str | None:
    """Return the model of the last answer."""
    messages = reversed(session.messages)
    return next((message.model for message in messages if message.role == "assistant"), None)


async def _deleted(request: web.Request) -> str | None:
    """Return the id of the session just deleted, from `?deleted=`, if it can be restored still."""
    session_id = request.query.get("deleted", "")
    if not re.fullmatch(bodies.ID_PATTERN, session_id):
        return None
    try:
        await request.app[HISTORY].restorable(request[OWNER], own(request, session_id))
    except TailraceError:  # or nobody knows: the page is shown all the same
        return None
    return session_id
