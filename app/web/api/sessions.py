"""Handlers of sessions: list, read, rename, delete, and their events."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from app.chat.branches import branch, siblings
from app.chat.errors import SessionNotFound
from app.chat.ports import Options
from app.chat.records import Message, SessionInfo
from app.chat.states import Status
from app.log.cursors import Cursor
from app.streams.registry import Registry
from app.streams.session import Session
from app.web.api.awaited_session import events_to_come
from app.web.api.message_range import WHOLE, MessageRange, bounds
from app.web.api.schemas import SessionList
from app.web.api.streams import place
from app.web.app_keys import HISTORY, LIMITS, LISTS, OWNER, REGISTRY
from app.web.events.response import EventStream
from app.web.events.viewer import refuse, view
from app.web.input import bodies
from app.web.problems import ProblemError

PAGE_SIZE = 50
TITLE_LENGTH = 200  # characters


class ShownMessage(Message, kw_only=True):
    """A message in a snapshot. For an answer in progress: the text so far and its status."""

    siblings: list[str]  # all that follow the same message, oldest first, itself among them
    status: Status | None = None
    note: str = ""  # what the model does, in the place of "Thinking…"


class Snapshot(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A session at one moment: the messages of a branch, and the cursor to resume its events from."""

    session_id: str
    title: str
    created_at: str
    updated_at: str
    options: Options
    branch: str | None  # the last of the messages
    messages: list[ShownMessage]
    cursor: str
    running: str | None  # the stream that has the turn
    earlier: int = 0  # messages of the branch that come before those that are shown


async def take_snapshot(
    request: web.Request, session_id: str, through: str | None = None, part: MessageRange = WHOLE
) -> Snapshot:
    """Return the session with messages of a branch and a cursor, both of one moment.

    The branch is the newest one, or the newest of those that the message `through` is part of; of its messages those
    of the `part` are returned. Raises `SessionNotFound`, `MessageNotFound`.
    """
    registry = request.app[REGISTRY]
    info, messages = await request.app[HISTORY].conversation(request[OWNER], session_id)
    # From here on nothing is awaited: what the log says up to the cursor is what the messages show.
    session = registry.session(session_id)
    families = siblings(messages)
    way = branch(messages, through)
    begin, end = bounds(way, part, through)
    shown = [
        ShownMessage(**msgspec.structs.asdict(message), siblings=families[message.message_id])
        for message in way[begin:end]
    ]
    for message in shown:
        _show_live(registry, session, message)
    return Snapshot(
        **msgspec.structs.asdict(info),
        branch=way[-1].message_id if way else None,
        messages=shown,
        cursor=str(Cursor(session.log.epoch, session.log.head)),
        running=session.running_id,
        earlier=begin,
    )


def _show_live(registry: Registry, session: Session, message: ShownMessage) -> None:
    """Have an answer as the log has it."""
    answer = session.log.answer
    if answer is not None and message.message_id == answer.message_id:
        message.content, message.reasoning = answer.content, answer.thoughts
        # It is kept a moment before its `end` is in the log.
        message.status = answer.status if message.outcome is None else Status.ENDED
        message.note, message.tokens = answer.note, answer.tokens
        message.thought_ms = answer.thought_ms(asyncio.get_running_loop().time())
    elif message.outcome is None and message.role == "assistant" and message.stream_id is not None:
        message.status = Status.QUEUED if registry.is_live(session.session_id, message.stream_id) else None


async def list_sessions(request: web.Request) -> web.StreamResponse:
    """GET /api/sessions?q=&after=&limit="""
    limit = bodies.number(request, "limit", PAGE_SIZE, least=1, most=200)
    query, after = request.query.get("q", ""), request.query.get("after")
    page = await request.app[HISTORY].sessions(request[OWNER], query=query, after=after, limit=limit)
    return bodies.respond_json(SessionList(sessions=page.sessions, next=page.next))


async def get_session(request: web.Request) -> web.StreamResponse:
    """GET /api/sessions/{session_id}?branch="""
    session_id = bodies.path_id(request, "session_id")
    return bodies.respond_json(await take_snapshot(request, session_id, request.query.get("branch")))


async def patch_session(request: web.Request) -> web.StreamResponse:
    """PATCH /api/sessions/{session_id}: another title, other options."""
    session_id = bodies.path_id(request, "session_id")
    changes = await bodies.json_body(request, bodies.Changes)
    if changes == bodies.Changes():
        raise ProblemError(422, "invalid_request", "Send `title`, `options`, or both.")
    title = None if changes.title is None else checked_title(changes.title)
    history, owner = request.app[HISTORY], request[OWNER]
    info: SessionInfo = await history.session(owner, session_id)
    if title is not None:
        info = await history.rename(owner, session_id, title)
        request.app[LISTS].changed(owner)
    if changes.options is not None:
        info = await history.configure(owner, session_id, changes.options)
    return bodies.respond_json(info)


def checked_title(text: str) -> str:
    """Return a title in one line. Raises a 422 if nothing is left of it, or too much."""
    title = " ".join(text.split())
    if not 0 < len(title) <= TITLE_LENGTH:
        raise ProblemError(422, "invalid_title", f"A title must have 1 to {TITLE_LENGTH} characters.")
    return title


async def delete_session(request: web.Request) -> web.StreamResponse:
    """DELETE /api/sessions/{session_id}: its stream stops, its viewers end, its messages are gone."""
    session_id = bodies.path_id(request, "session_id")
    wait = request.app[LIMITS].max_stop_wait
    await request.app[REGISTRY].delete_session(request[OWNER], session_id, wait=wait)
    request.app[LISTS].changed(request[OWNER])
    return web.Response(status=204)


async def get_session_events(request: web.Request) -> web.StreamResponse:
    """GET /api/sessions/{session_id}/events: from a cursor, else from the start of what runs now, else live.

    Without a cursor the session need not exist yet. With one it did exist, and was deleted.
    """
    session_id = bodies.path_id(request, "session_id")
    registry, cursor = request.app[REGISTRY], bodies.asked_cursor(request)
    try:
        await request.app[HISTORY].session(request[OWNER], session_id)
    except SessionNotFound:
        if cursor is not None:
            raise
        return await events_to_come(request, session_id)
    session = registry.session(session_id)
    after = place(session, cursor)
    if isinstance(after, str):
        return await refuse(request, EventStream(), session_id, after)
    return await view(request, EventStream(), session, after)
