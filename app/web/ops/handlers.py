"""Handlers of the operations page, and its event stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from aiohttp import web

from app.web.app_keys import OWNER, PAGE_PULSE
from app.web.events.encoders import passing
from app.web.events.heartbeat import HeartbeatTimer
from app.web.events.push import EventPush
from app.web.events.response import EventStream
from app.web.events.viewer import heartbeat
from app.web.http import accept
from app.web.i18n import translations
from app.web.input.bodies import respond_json
from app.web.ops import board
from app.web.ops.as_json import as_json
from app.web.page.templates import render, render_text
from app.web.problems import ProblemError

PART = "partials/board.html"
EVERY = 1.0  # s between two boards
MOST_READERS = 8  # open event streams of the page

# By language, by reader, who has links to the own chats, and by the owner that is asked for.
DRAWN: web.AppKey[dict[tuple[str, str, str | None], Drawn]] = web.AppKey("drawn_boards")
READERS: web.AppKey[set[BoardPush]] = web.AppKey("board_readers")


class Drawn(NamedTuple):
    """A rendered board."""

    at: float  # loop time
    html: str


class BoardEvent(msgspec.Struct, frozen=True):
    """The contents of the page."""

    html: str


class BoardPush(EventPush):
    """Sends the board when it has changed, once a second at most. The heartbeat timer wakes it."""

    def __init__(self, pulse: HeartbeatTimer, draw: Callable[[], str]) -> None:
        super().__init__(pulse)
        self._draw = draw
        self._due = 0.0  # loop time of the next board

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send the headers, then boards until the client leaves or the server ends."""
        return await self._serve(request, EventStream())

    async def _show(self) -> None:
        loop = asyncio.get_running_loop()
        shown = ""
        while not (self._gone or self._closing):
            self._wake.clear()
            self._due = loop.time() + EVERY
            if (html := self._draw()) != shown:
                shown = html
                await self._send(passing("board", BoardEvent(html)))
            await self._wake.wait()

    def beat(self) -> int:
        """See `EventPush`. Also wakes `_show` when the next board is due."""
        super().beat()
        if asyncio.get_running_loop().time() >= self._due:
            self._wake.set()
        return 1

    def _last_words(self) -> bytes:
        return EventStream.farewell()

    def _heartbeat(self) -> bytes:
        return passing("heartbeat", heartbeat())


async def get_page(request: web.Request) -> web.StreamResponse:
    """GET /ops?owner=&reload=off: without scripts the page reloads itself, unless `reload` is `off`.

    A client that names JSON in `Accept` gets JSON.
    """
    if accept.names_json(request):
        return respond_json(as_json(board.read(request.app, board.asked_owner(request))))
    reloads = request.query.get("reload") != "off"
    return render(request, "ops.html", {**board.context(request), "reloads": reloads})


async def get_events(request: web.Request) -> web.StreamResponse:
    """GET /ops/events?owner=: `board` events with the contents of the page, as SSE."""
    readers = request.app[READERS]
    if len(readers) >= MOST_READERS:
        raise ProblemError(
            429,
            "too_many_waiting",
            f"{MOST_READERS} browsers are showing this page already. Close it in one of them.",
            headers={"Retry-After": "10"},
        )
    push = BoardPush(request.app[PAGE_PULSE], lambda: _drawn(request))
    readers.add(push)
    try:
        return await push.serve(request)
    finally:
        readers.discard(push)


def _drawn(request: web.Request) -> str:
    """Return the board as the reader asked for it. Readers who see the same share it, so they cost as much as one."""
    now = asyncio.get_running_loop().time()
    boards = request.app[DRAWN]
    asked = (translations.of(request).code, request[OWNER], board.asked_owner(request))
    for old in [key for key, drawn in boards.items() if now - drawn.at >= EVERY / 2]:
        del boards[old]
    if asked not in boards:
        boards[asked] = Drawn(now, render_text(request, PART, board.context(request)))
    return boards[asked].html


async def close(app: web.Application) -> None:
    """Signal `on_shutdown`: end the event streams of the page."""
    readers = app[READERS]
    for push in tuple(readers):
        push.close()
