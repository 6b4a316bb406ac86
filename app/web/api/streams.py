"""Handlers for streams: register, read, stop."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from aiohttp import web

from app.chat.branches import path
from app.chat.errors import Draining, Limited, OwnerPrompts, StreamNotFound, TailraceError
from app.chat.records import StreamState
from app.chat.scoped_ids import bare
from app.chat.states import Outcome
from app.chat.submission import Submission
from app.chat.tracing import Trace
from app.log.cursors import Cursor
from app.log.entries import ResetReason
from app.streams.registry import Registered, Registry
from app.streams.session import Session
from app.web.api import schemas
from app.web.api.images import images_of
from app.web.api.rendered import is_asked, show
from app.web.app_keys import (
    CATALOG,
    HISTORY,
    LIMITS,
    LISTS,
    OPEN_STREAMS,
    OWNER,
    PASSED,
    REGISTRY,
    TRACER,
    UNFINISHED,
)
from app.web.events.response import EventStream, LineStream
from app.web.events.viewer import refuse
from app.web.grants import AccessOver
from app.web.http import accept
from app.web.http.addresses import at
from app.web.input import bodies
from app.web.input.reading import release
from app.web.input.session_ids import path_session, shown
from app.web.input.stream_request import StreamRequest, read_stream_request, request_hash
from app.web.problems import ProblemError, code_and_status

# A POST can be answered with events as well: only EventSource is limited to GET.
RESPONSES: dict[str, type[EventStream | LineStream]] = {accept.EVENTS: EventStream, accept.LINES: LineStream}


ROUTE = "/api/sessions/{session_id}/streams"


async def register(request: web.Request, session_id: str) -> Registered:
    """Register the requested stream. Raises `ProblemError`, and whatever the registry and the catalogue raise."""
    trace = request.app[TRACER].exchange(request.headers, ROUTE)
    try:
        registered = await _register(request, session_id, trace)
    except (ProblemError, TailraceError) as error:
        trace.refused(*code_and_status(error))
        if isinstance(error, Limited) and (wait := request.app[REGISTRY].fair_use.delay(request[OWNER])):
            await asyncio.sleep(wait)
        raise
    except AccessOver:
        trace.refused("not_signed_in", 401)
        raise
    except asyncio.CancelledError:
        trace.refused("client_disconnected", None)
        raise
    except Exception as error:
        trace.refused(type(error).__name__, 500)
        raise
    release(request)  # the response may last as long as the answer
    trace.answered(registered.stream_id, 201 if registered.new else 200)
    return registered


async def check_prompt(request: web.Request, session_id: str) -> None:
    """Check what can be told before any work on the body: the key, and what the owner has sent and opened.

    Raises a 422 for the key, `OwnerEventStreams` if the answer is wanted as events, `OwnerPrompts` unless it repeats a
    request that was accepted, and the errors of `Registry.knows`.
    """
    # The events that another node passes on are counted there, where the client is.
    if PASSED not in request and accept.best(request, tuple(RESPONSES)) in RESPONSES:
        request.app[OPEN_STREAMS].check(request[OWNER])
    key, registry = bodies.idempotency_key(request), request.app[REGISTRY]
    try:
        registry.fair_use.check_prompts(request[OWNER])
    except OwnerPrompts:
        if key is None or not await registry.knows(request[OWNER], session_id, key):
            raise


async def _register(request: web.Request, session_id: str, trace: Trace) -> Registered:
    await check_prompt(request, session_id)
    key, registry = bodies.idempotency_key(request), request.app[REGISTRY]
    body = await read_stream_request(request)
    if body.continues is not None and not request.app[LIMITS].continuing:
        raise ProblemError(
            403,
            "continue_off",
            "Continuing answers is turned off (TAILRACE_CONTINUE=off). Regenerate the answer instead.",
        )
    replaced = await _interrupted(request) if body.if_active == "rollback" else ()
    pictures = await images_of(request, body.images)
    if registry.draining and key is None:  # with a key, it may repeat a request that was accepted
        raise Draining("The server is shutting down. Try again in a moment.")
    backend, model = await request.app[CATALOG].resolve(
        body.model or await _model_of(request, session_id, body)
    )
    ask = Submission(
        owner=request[OWNER],
        session_id=session_id,
        prompt=body.prompt or "",
        parent_id=body.parent_id,
        pictures=pictures,
        regenerate=body.regenerate,
        continues=body.continues,
        remember=body.remember,
        model=model,
        backend=backend,
        options=body.options,
        if_active=body.if_active,
        replaces=[state.stream_id for state in replaced],
        key=key,
        request_hash=request_hash(body) if key is not None else "",
        trace=trace,
    )
    trace.admitting(model)
    registered = await registry.register(ask)
    if registered.begins:
        request.app[LISTS].changed(request[OWNER])
    return registered


async def _model_of(request: web.Request, session_id: str, body: StreamRequest) -> str | None:
    """Return the model of the answer to regenerate or continue: the default if the request names no model."""
    answer_id = body.regenerate or body.continues
    if answer_id is None:
        return None
    messages = await request.app[HISTORY].near(request[OWNER], session_id, answer_id, 1)
    return path(messages, answer_id)[-1].model


async def post_stream(request: web.Request) -> web.StreamResponse:
    """POST /api/sessions/{session_id}/streams: returns JSON, or the stream's events if `Accept` asks for them."""
    session_id = path_session(request)
    wanted = accept.best(request, tuple(RESPONSES))
    if wanted is None:
        offered = ", ".join((accept.JSON, *RESPONSES))
        raise ProblemError(406, "not_acceptable", f"`Accept` refuses all that there is: {offered}.")
    is_asked(request)  # a wrong value is refused before anything is registered
    registered = await register(request, session_id)
    status = 201 if registered.new else 200
    headers = {"Location": at(request, f"/api/streams/{registered.stream_id}")}
    if wanted in RESPONSES:
        response = RESPONSES[wanted](status=status, headers=headers)
        return await _show_new(request, session_id, registered, response)
    answer = schemas.Registered(
        stream_id=registered.stream_id,
        session_id=bare(session_id),
        status=registered.status,
        events_url=at(request, f"/api/streams/{registered.stream_id}/events"),
        cursor=str(registered.cursor),
    )
    return bodies.respond_json(answer, status=status, headers=headers)


async def _show_new(
    request: web.Request, session_id: str, registered: Registered, response: EventStream | LineStream
) -> web.StreamResponse:
    session = request.app[REGISTRY].session(session_id)
    after = stream_start(request.app[REGISTRY], session, registered.stream_id)
    if after is None:
        return await refuse(request, response, session_id, "expired")
    return await show(request, response, session, after, registered.stream_id)


def stream_start(registry: Registry, session: Session, stream_id: str) -> int | None:
    """Return the sequence number before a stream's start; `None` if its events have expired."""
    before = session.log.before(stream_id)
    if before is None and registry.is_live(session.session_id, stream_id):
        return session.log.head  # The stream is queued and has no `start` yet.
    return before


async def get_stream(request: web.Request) -> web.StreamResponse:
    """GET /api/streams/{stream_id}"""
    stream_id = bodies.path_id(request, "stream_id")
    return bodies.respond_json(shown(await request.app[REGISTRY].stream_state(request[OWNER], stream_id)))


async def get_stream_events(request: web.Request) -> web.StreamResponse:
    """GET /api/streams/{stream_id}/events: up to its `end`; 204 if the cursor is already at the end."""
    stream_id = bodies.path_id(request, "stream_id")
    registry = request.app[REGISTRY]
    state = await registry.stream_state(request[OWNER], stream_id)
    session = registry.session(state.session_id)
    after = _stream_cursor(request, registry, session, stream_id)
    if isinstance(after, str):
        return await refuse(request, EventStream(), state.session_id, after)
    if not registry.is_live(state.session_id, stream_id) and not session.log.read(after, stream_id).entries:
        # 204 tells EventSource not to reconnect (WHATWG HTML, section 9.2.3).
        return web.Response(status=204)
    return await show(request, EventStream(), session, after, stream_id)


def _stream_cursor(
    request: web.Request, registry: Registry, session: Session, stream_id: str
) -> int | ResetReason:
    cursor = bodies.asked_cursor(request)
    if cursor is None:
        after = stream_start(registry, session, stream_id)
        return "expired" if after is None else after
    return checked(session, cursor)


def place(session: Session, cursor: Cursor | str | None) -> int | ResetReason:
    """Return the sequence number to read after: the cursor's, else the one before the running stream, else the head.

    Returns the reason instead if the cursor cannot be served.
    """
    if cursor is not None:
        return checked(session, cursor)
    before = session.log.before(session.running_id) if session.running_id else None
    return session.log.head if before is None else before


def checked(session: Session, cursor: Cursor | str) -> int | ResetReason:
    """Return the sequence number of a cursor, or the reason why it cannot be served."""
    if isinstance(cursor, str):
        return "epoch"
    return session.log.refusal(cursor) or cursor.seq


async def delete_stream(request: web.Request) -> web.StreamResponse:
    """DELETE /api/streams/{stream_id}: stop this stream only."""
    stream_id = bodies.path_id(request, "stream_id")
    wait = _stop_wait(request)
    began = time.monotonic()
    state = await request.app[REGISTRY].stop(request[OWNER], stream_id, wait=wait)
    return _stopped(state.outcome, state.upstream_closed, time.monotonic() - began)


async def delete_session_stream(request: web.Request) -> web.StreamResponse:
    """DELETE /api/sessions/{session_id}/stream: stop the session's running stream; 204 if there is none."""
    session_id = path_session(request)
    wait = _stop_wait(request)
    began = time.monotonic()
    registry, owner = request.app[REGISTRY], request[OWNER]
    state = await registry.stop_session(owner, session_id, wait=wait)
    if state is None:
        state = next(iter(await _interrupted(request)), None)
    if state is None:
        return web.Response(status=204)
    return _stopped(state.outcome, state.upstream_closed, time.monotonic() - began)


async def _interrupted(request: web.Request) -> list[StreamState]:
    """Return the streams that ran when the request came, and that a change of the session's node has interrupted."""
    states = []
    for stream_id in request.get(UNFINISHED, ()):
        with suppress(StreamNotFound):
            states.append(await request.app[HISTORY].stream(request[OWNER], stream_id))
    return [state for state in states if state.outcome is Outcome.INTERRUPTED]


def _stop_wait(request: web.Request) -> float:
    """Return how long to wait for a stop, in seconds.

    A stop takes `supersede_timeout` at most. A client that waits that long gets 0.25 s more, to see the result.
    """
    limits = request.app[LIMITS]
    asked = bodies.number(request, "wait", limits.default_stop_wait, least=0, most=limits.max_stop_wait)
    bound = request.app[REGISTRY].bounds.supersede_timeout
    return asked + 0.25 if asked >= bound else asked


def _stopped(outcome: Any, upstream_closed: bool, waited: float) -> web.Response:
    # Without an outcome the stream has not ended, so `upstream_closed` is not final.
    closed = upstream_closed and outcome is not None
    return bodies.respond_json(
        schemas.Stopped(outcome=outcome, upstream_closed=closed, waited_ms=round(waited * 1000))
    )
