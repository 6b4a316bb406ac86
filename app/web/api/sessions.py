"""Handlers for sessions: list, read, change, delete, and the event stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from app.chat.errors import LeaseLost, SessionNotFound
from app.chat.ports import Options
from app.chat.records import Excerpt, Message, SessionInfo
from app.chat.states import Status
from app.chat.titles import TITLE_LENGTH, one_line
from app.log.cursors import Cursor
from app.streams.registry import Registry
from app.streams.session import Session
from app.web.api.awaited_session import events_to_come
from app.web.api.message_range import WHOLE, MessageRange, branch
from app.web.api.pieces import send_pieces
from app.web.api.rendered import is_asked, render_message, show
from app.web.api.schemas import SessionList
from app.web.api.shown_messages import ShownMessage
from app.web.api.streams import place
from app.web.app_keys import HISTORY, LIMITS, LISTS, OWNER, REGISTRY, RENDERER
from app.web.events.response import EventStream
from app.web.events.viewer import refuse
from app.web.input import bodies
from app.web.input.option_bounds import check_options
from app.web.input.searches import checked_cursor, checked_search
from app.web.input.session_ids import list_page, path_session, shown
from app.web.output.entry import take_turn
from app.web.problems import ProblemError
from app.web.rules import LARGEST_PAGE, PAGE_SIZE

NO_MESSAGES = b'"messages":[]'  # in a snapshot; a string of JSON has a backslash before each quote
UNPLACED = Cursor(0, 0)  # in no log: whoever goes on from it loads a snapshot of the session's owner
TOGETHER = 200  # messages of a long session that are read at a time, at most
NOT_STORED = {"Cache-Control": "no-store"}


class Snapshot(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A consistent view of a session: the messages of a branch, and the cursor to resume its events from."""

    session_id: str
    title: str
    created_at: str
    updated_at: str
    options: Options
    branch: str | None  # the id of the branch's last message
    messages: list[ShownMessage]
    cursor: str
    running: str | None  # the id of the running stream
    earlier: int = 0  # the number of messages of the branch before `messages`


async def take_snapshot(
    request: web.Request, session_id: str, through: str | None = None, part: MessageRange = WHOLE
) -> Snapshot:
    """Return a session with messages of a branch, and the cursor that matches them.

    The branch is the newest one, or the newest one that contains the message `through`. `part` selects its messages.
    Raises `SessionNotFound`, `MessageNotFound`.
    """
    found = await request.app[HISTORY].excerpt(request[OWNER], session_id, through, part)
    return snapshot_of(request, session_id, found)


def snapshot_of(request: web.Request, session_id: str, found: Excerpt) -> Snapshot:
    """Return a part of a session as it is shown. Nothing may be awaited between the read and this.

    So what the log says up to the cursor is what the messages show.
    """
    registry = request.app[REGISTRY]
    session = _session(registry, session_id)
    selected = [shown_message(message, found) for message in found.messages]
    if session is not None:
        for message in selected:
            _show_live(registry, session, message)
    return Snapshot(
        **msgspec.structs.asdict(shown(found.info)),
        branch=found.newest,
        messages=selected,
        cursor=str(UNPLACED if session is None else Cursor(session.log.epoch, session.log.head)),
        running=None if session is None else session.running_id,
        earlier=len(found.earlier),
    )


def _session(registry: Registry, session_id: str) -> Session | None:
    """Return the live session; `None` on a node of a cluster that does not own it."""
    try:
        return registry.session(session_id)
    except LeaseLost:
        return None


def shown_message(message: Message, of: Excerpt) -> ShownMessage:
    """Return a message with its siblings."""
    family = of.families.get(message.message_id) or [message.message_id]
    return ShownMessage(**msgspec.structs.asdict(message), siblings=family)


def _show_live(registry: Registry, session: Session, message: ShownMessage) -> None:
    """Update an answer in progress from the log."""
    answer = session.log.answer
    if answer is not None and message.message_id == answer.message_id:
        message.content, message.reasoning = answer.content, answer.thoughts
        # The answer is saved shortly before its `end` is in the log.
        message.status = answer.status if message.outcome is None else Status.ENDED
        message.note, message.tokens = answer.note, answer.tokens
        message.thought_ms = answer.thought_ms(asyncio.get_running_loop().time())
    elif message.outcome is None and message.role == "assistant" and message.stream_id is not None:
        message.status = Status.QUEUED if registry.is_live(session.session_id, message.stream_id) else None


async def list_sessions(request: web.Request) -> web.StreamResponse:
    """GET /api/sessions?q=&after=&limit="""
    limit = bodies.number(request, "limit", PAGE_SIZE, least=1, most=LARGEST_PAGE)
    query, after = checked_search(request.query), checked_cursor(request.query)
    page = await list_page(request, query, after, limit)
    return bodies.respond_json(SessionList(sessions=page.sessions, next=page.next))


async def whole_session(request: web.Request, session_id: str, through: str | None) -> web.StreamResponse:
    """Answer with a session and all messages of a branch. Those of a long one are sent in pieces, as they are read."""
    found = await request.app[HISTORY].excerpt(request[OWNER], session_id, through, WHOLE, entire=True)
    snapshot = snapshot_of(request, session_id, found)
    snapshot.messages = await _as_asked(request, session_id, snapshot.messages)
    if not found.earlier:
        return bodies.respond_json(snapshot)
    head, tail = msgspec.json.encode(msgspec.structs.replace(snapshot, messages=[], earlier=0)).split(
        NO_MESSAGES, 1
    )

    async def pieces() -> AsyncIterator[bytes]:
        yield head + NO_MESSAGES[:-1]
        async for messages in earlier_messages(request, session_id, found):
            shown = await _as_asked(request, session_id, messages)
            yield b"".join(msgspec.json.encode(message) + b"," for message in shown)
        yield b",".join(map(msgspec.json.encode, snapshot.messages)) + b"]" + tail

    return await send_pieces(request, pieces(), {"Content-Type": "application/json", **NOT_STORED})


async def _as_asked(
    request: web.Request, session_id: str, messages: list[ShownMessage]
) -> list[ShownMessage]:
    if not is_asked(request):
        return messages
    renderer = request.app[RENDERER]
    return [await render_message(renderer, message, session_id) for message in messages]


async def earlier_messages(
    request: web.Request, session_id: str, found: Excerpt
) -> AsyncIterator[list[ShownMessage]]:
    """Yield the messages of a branch before an excerpt, some at a time. They have ended, so they do not change."""
    done = 0
    while wanted := found.earlier[done : done + TOGETHER]:
        some = await request.app[HISTORY].some(request[OWNER], session_id, wanted)
        yield [shown_message(message, found) for message in some]
        done += len(some)


async def get_session(request: web.Request) -> web.StreamResponse:
    """GET /api/sessions/{session_id}?branch=&render="""
    is_asked(request)  # a wrong value is refused before anything is read
    return await whole_session(request, path_session(request), branch(request))


async def patch_session(request: web.Request) -> web.StreamResponse:
    """PATCH /api/sessions/{session_id}: change the title, the options, or both."""
    session_id = path_session(request)
    changes = await bodies.json_body(request, bodies.Changes)
    if changes == bodies.Changes():
        raise ProblemError(422, "invalid_request", "Send `title`, `options`, or both.")
    title = None if changes.title is None else checked_title(changes.title)
    if changes.options is not None:
        check_options(changes.options)
    await take_turn(request)
    history, owner = request.app[HISTORY], request[OWNER]
    info: SessionInfo = await history.session(owner, session_id)
    if title is not None:
        info = await history.rename(owner, session_id, title)
        request.app[LISTS].changed(owner)
    if changes.options is not None:
        info = await history.configure(owner, session_id, changes.options)
    return bodies.respond_json(shown(info))


def checked_title(text: str) -> str:
    """Return a title with its whitespace collapsed. Raises a 422 if it is then empty or too long."""
    title = one_line(text)
    if not 0 < len(title) <= TITLE_LENGTH:
        raise ProblemError(422, "invalid_title", f"A title must have 1 to {TITLE_LENGTH} characters.")
    return title


async def delete_session(request: web.Request) -> web.StreamResponse:
    """DELETE /api/sessions/{session_id}: stop its stream, close its viewers, delete its messages."""
    session_id = path_session(request)
    await take_turn(request)
    wait = request.app[LIMITS].max_stop_wait
    await request.app[REGISTRY].delete_session(request[OWNER], session_id, wait=wait)
    request.app[LISTS].changed(request[OWNER])
    return web.Response(status=204)


async def get_session_events(request: web.Request) -> web.StreamResponse:
    """GET /api/sessions/{session_id}/events: from a cursor, else from the start of the running stream, else live.

    Without a cursor the session need not exist yet. With a cursor, a session that is not found was deleted: 404.
    """
    session_id = path_session(request)
    is_asked(request)  # a wrong value is refused before anything is waited for
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
    return await show(request, EventStream(), session, after)
