"""Handlers for pages: session snapshots with rendered answers, and the event stream that all tabs share."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from functools import partial

import msgspec
from aiohttp import web

from app.chat.errors import LeaseLost, TooManyWaiting
from app.log.cursors import Cursor
from app.log.entries import ResetReason
from app.web.api import message_range
from app.web.api.awaited_session import Expected, exists
from app.web.api.rendered import RenderedMessage, render_message
from app.web.api.sessions import Snapshot, take_snapshot
from app.web.api.streams import place
from app.web.app_keys import (
    BASE,
    LIMITS,
    LISTS,
    NODES,
    OPEN_STREAMS,
    OWNER,
    PAGE_CHANNELS,
    PAGE_PULSE,
    PASSED,
    REGISTRY,
    RENDERER,
    VIEWERS,
)
from app.web.blocks.renderer import Renderer
from app.web.events.encoders import passing
from app.web.input import bodies
from app.web.input.session_ids import own, path_session
from app.web.page.live.events import GoneEvent, reset
from app.web.page.live.viewer import PageViewer
from app.web.problems import ProblemError

TOGETHER = 32  # messages that are rendered before others have a turn of the loop
MOST_WATCHED = 32  # sessions per connection
NEW = "new"  # instead of a cursor: the session did not exist when the page was rendered


class PageSnapshot(Snapshot, kw_only=True):
    """A snapshot whose messages are rendered."""

    messages: list[RenderedMessage]  # type: ignore[assignment]


async def rendered(
    renderer: Renderer, snapshot: Snapshot, turn: str, *, thoughts: bool = False
) -> PageSnapshot:
    """Return a snapshot with rendered answers; see `render_message`."""
    messages = []
    for number, message in enumerate(snapshot.messages, start=1):
        messages.append(await render_message(renderer, message, turn, thoughts=thoughts))
        if number % TOGETHER == 0:
            await asyncio.sleep(0)  # nothing is waited for where all is cached
    return PageSnapshot(**{**msgspec.structs.asdict(snapshot), "messages": messages})


async def get_page_snapshot(request: web.Request) -> web.StreamResponse:
    """GET /sessions/{session_id}/snapshot?branch=&from=&before=&all="""
    session_id = path_session(request)
    through, part = message_range.branch(request), message_range.asked(request)
    snapshot = await take_snapshot(request, session_id, through, part)
    return bodies.respond_json(await rendered(request.app[RENDERER], snapshot, session_id))


async def get_page_events(request: web.Request) -> web.StreamResponse:
    """GET /events?watch=<session_id>:<cursor>&watch=…

    Each session is sent from its cursor; without one, from the start of the running stream, else live. The cursor
    `new` means that the session did not exist when the page was rendered.
    """
    registry, lists, owner = request.app[REGISTRY], request.app[LISTS], request[OWNER]
    viewer = PageViewer(
        request.app[PAGE_CHANNELS],
        request.app[PAGE_PULSE],
        request.app[BASE],
        lambda: lists.count(owner),
    )
    asked, elsewhere = _asked(request), dict[str, Cursor | str | None]()
    expected, most = Expected(partial(_show, request, viewer)), request.app[LIMITS].max_waiting
    with ExitStack() as waits:
        for own_id, cursor in asked.items():
            session_id = own(request, own_id)
            if await _is_elsewhere(request, session_id):
                elsewhere[session_id] = cursor
            elif await exists(request, session_id):
                expected.found(session_id, cursor)
            elif cursor not in (None, NEW):
                viewer.say(passing("gone", GoneEvent(own_id)))
            else:
                # Beyond the limit the session is not watched until the page reloads.
                with suppress(TooManyWaiting):
                    tell = partial(expected.found, session_id)
                    waits.enter_context(registry.arrivals.wait(owner, session_id, tell, most=most))
                    if await exists(request, session_id):  # It began before anybody waited.
                        expected.found(session_id, cursor)
        if elsewhere:
            request.app[OPEN_STREAMS].check(owner, elsewhere=len(elsewhere))
        # Nothing is awaited from here until the response starts, so the viewer is always cleaned up.
        expected.begin()
        for session_id, cursor in elsewhere.items():
            _follow(request, viewer, session_id, cursor)
        return await viewer.serve(request)


async def _is_elsewhere(request: web.Request, session_id: str) -> bool:
    """Return whether another node of the cluster, if there is one, owns the session."""
    # What another node passed on is for sessions of this one.
    if PASSED in request or NODES not in request.app:
        return False
    return await request.app[NODES].is_elsewhere(request, session_id)


def _show(request: web.Request, viewer: PageViewer, session_id: str, cursor: Cursor | str | None) -> None:
    """Send a session of this node from its cursor."""
    try:
        session = request.app[REGISTRY].session(session_id)
    except LeaseLost:
        if isinstance(cursor, Cursor):  # It has begun there.
            _follow(request, viewer, session_id, cursor)
        else:  # It has just moved to another node: the page comes back and is led there.
            viewer.close()
        return
    after = place(session, cursor)
    if isinstance(after, str):
        request.app[VIEWERS].resets[after] += 1
        viewer.say(reset(request.app[BASE], session_id, after))
    else:
        viewer.watch(session, after)
        viewer.look()


def _follow(request: web.Request, viewer: PageViewer, session_id: str, cursor: Cursor | str | None) -> None:
    """Send a session of another node from its cursor."""
    come = partial(_come, request, viewer, session_id)
    viewer.watch_elsewhere(request.app[NODES].page_watch(request, viewer, session_id, cursor, come))


def _come(request: web.Request, viewer: PageViewer, session_id: str, cursor: Cursor) -> None:
    """Send a session that has become this node's while the response lasts."""
    after: int | ResetReason = "epoch"
    with suppress(LeaseLost):
        session = request.app[REGISTRY].session(session_id)
        after = place(session, cursor)
    if isinstance(after, str):
        viewer.close()  # The page comes back, and gets its reset.
    else:
        viewer.watch(session, after)
        viewer.look()


def _asked(request: web.Request) -> dict[str, Cursor | str | None]:
    """Return the cursors of the sessions to watch, by bare id. A malformed cursor is returned as text.

    `Last-Event-ID` of an automatic retry overrides one of them.
    """
    asked = request.query.getall("watch", [])
    if not 1 <= len(asked) <= MOST_WATCHED:
        raise ProblemError(
            422, "invalid_query", f"Watch 1 to {MOST_WATCHED} sessions: `?watch=<session_id>:<cursor>`."
        )
    watched: dict[str, Cursor | str | None] = {}
    for watch in asked:
        session_id, _, text = watch.partition(":")
        watched[bodies.checked_id(session_id, "watch")] = (Cursor.parse(text) or text) if text else None
    session_id, _, text = request.headers.get("Last-Event-ID", "").partition("/")
    if session_id in watched:
        watched[session_id] = Cursor.parse(text) or text
    return watched
