"""What a request needs of the node that owns its session."""

from __future__ import annotations

from enum import Enum

from aiohttp import hdrs, web

from app.chat.errors import StreamNotFound
from app.chat.states import Outcome
from app.web.app_keys import BASE, HISTORY, OWNER
from app.web.input import bodies
from app.web.input.session_ids import own


class Need(Enum):
    """How a request finds its node."""

    WRITE = "write"  # the owner; a node that leaves it unanswered loses the session
    EVENTS = "events"  # the owner, also of a session that nobody owned; one that does not exist is waited for
    CURSOR = "cursor"  # likewise, but the messages can be shown without an owner, too
    READ = "read"  # the owner if there is one; reading alone makes none


# Of GET requests, by their address without the base path.
READS = {
    "/api/sessions/{session_id}/events": Need.EVENTS,
    "/api/streams/{stream_id}/events": Need.EVENTS,
    # These show the place in the log from which the page goes on.
    "/api/sessions/{session_id}": Need.CURSOR,
    "/sessions/{session_id}/snapshot": Need.CURSOR,
    "/sessions/{session_id}": Need.CURSOR,
    "/api/streams/{stream_id}": Need.READ,
    "/api/sessions/{session_id}/export": Need.READ,
    "/sessions/{session_id}/manage": None,  # the history alone answers it
}


PROMPTS = "/api/sessions/{session_id}/streams"  # of POST requests, also of a form
STOPS = frozenset(
    {"/sessions/{session_id}/stop", "/sessions/{session_id}/delete"}
)  # forms that end what runs


def asks_for_answer(request: web.Request) -> bool:
    """Return whether a request is a prompt, or asks for an answer anew."""
    return request.method == hdrs.METH_POST and address(request) == PROMPTS


def stops(request: web.Request) -> bool:
    """Return whether a request ends what runs in its session."""
    if request.method == hdrs.METH_POST:
        return address(request) in STOPS
    return request.method == hdrs.METH_DELETE


def need_of(request: web.Request) -> Need | None:
    """Return what a request needs; `None` if any node can answer it."""
    match = request.match_info
    if "session_id" not in match and "stream_id" not in match:
        return None
    if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
        return Need.WRITE
    need = READS.get(address(request), Need.READ)
    return Need.READ if request.method == hdrs.METH_HEAD and need is not None else need


def address(request: web.Request) -> str:
    """Return the address of a request's route, without the base path; "" if it has none."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical.removeprefix(request.app[BASE])


async def session_of(request: web.Request) -> str | None:
    """Return the scoped id of a request's session; `None` if the handler needs no owner.

    It tells that there is no such session, and how an answer ended that is to be stopped: so a repeated stop takes no
    session over from the answer that runs by now. Raises a 422 for a malformed id, `HistoryUnavailable`.
    """
    if "session_id" in request.match_info:
        return own(request, bodies.path_id(request, "session_id"))
    try:
        stream_id = bodies.path_id(request, "stream_id")
        state = await request.app[HISTORY].stream(request[OWNER], stream_id)
    except StreamNotFound:
        return None
    # The owner notes that an interrupted answer is not to be continued.
    is_over = state.outcome not in (None, Outcome.INTERRUPTED)
    return None if is_over and stops(request) else state.session_id
