"""Handlers of the operations page, and its event stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from app.web.app_keys import NODES, OWNER, PAGE_PULSE, TURN
from app.web.events.encoders import passing
from app.web.events.heartbeat import HeartbeatTimer
from app.web.events.push import EventPush
from app.web.events.response import EventStream
from app.web.events.viewer import heartbeat
from app.web.http import accept
from app.web.http.addresses import at
from app.web.i18n import translations
from app.web.input.bodies import respond_json
from app.web.ops import board
from app.web.ops.as_json import as_json
from app.web.ops.context import context
from app.web.page.templates import render, render_text
from app.web.problems import ProblemError

PART = "partials/board.html"
EVERY = 1.0  # s between two boards
PATIENCE = 2.5  # s that the page waits for the other nodes of a cluster: longer than each of them may take
LIVE_PATIENCE = 0.25  # s that a board waits for them: what comes later is on the next one
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

    def __init__(self, pulse: HeartbeatTimer, draw: Callable[[], Awaitable[str]]) -> None:
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
            if (html := await self._draw()) != shown:
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

    A client that names JSON in `Accept` gets JSON. At a node of a cluster both tell of all nodes.
    """
    turn = request.get(TURN)
    if NODES in request.config_dict and turn is not None:
        turn.give_back()  # the other nodes may need the turns of the same owner
    cluster = await _cluster(request, PATIENCE)
    if accept.names_json(request):
        return respond_json(as_json(board.read(request.app, board.asked_owner(request))) | cluster)
    if NODES in request.config_dict and turn is not None:
        await turn.take()
    reloads = request.query.get("reload") != "off"
    return render(request, "ops.html", {**_context(request, cluster), "reloads": reloads})


async def _cluster(request: web.Request, patience: float, age: float = 0.0) -> dict[str, Any]:
    """Return what a node of a cluster adds to the JSON: `node`, and `peers` if the request is no peer's."""
    if (nodes := request.config_dict.get(NODES)) is None:
        return {}
    owner = board.asked_owner(request)
    address = at(request, f"/ops?{urlencode({'owner': owner})}" if owner else "/ops")
    return await nodes.operations(request, address, patience=patience, age=age)


def _context(request: web.Request, cluster: dict[str, Any]) -> dict[str, Any]:
    return context(request, board.read(request.app, board.asked_owner(request)), cluster)


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


async def _drawn(request: web.Request) -> str:
    """Return the board as the reader asked for it. Readers who see the same share it, so they cost as much as one."""
    asked = (translations.of(request).code, request[OWNER], board.asked_owner(request))
    if (known := _known(request, asked)) is not None:
        return known
    cluster = await _cluster(request, LIVE_PATIENCE, EVERY / 2)
    if (known := _known(request, asked)) is not None:  # another reader was faster
        return known
    html = render_text(request, PART, _context(request, cluster))
    request.app[DRAWN][asked] = Drawn(asyncio.get_running_loop().time(), html)
    return html


def _known(request: web.Request, asked: tuple[str, str, str | None]) -> str | None:
    """Return a board that was rendered just now, if there is one. Forgets older ones."""
    now, boards = asyncio.get_running_loop().time(), request.app[DRAWN]
    for old in [key for key, drawn in boards.items() if now - drawn.at >= EVERY / 2]:
        del boards[old]
    return boards[asked].html if asked in boards else None


async def close(app: web.Application) -> None:
    """Signal `on_shutdown`: end the event streams of the page."""
    readers = app[READERS]
    for push in tuple(readers):
        push.close()
