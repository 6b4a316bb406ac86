"""The middleware that gives each request its turn, and what ends the turn."""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from app.chat.quotas import is_limited
from app.web.app_keys import OWNER, TURN, TURNS
from app.web.http import accept
from app.web.output.sending import in_pieces

READS = (hdrs.METH_GET, hdrs.METH_HEAD)
# Seconds for the turn of an event stream: before its page takes the silence for a lost connection, and asks again.
EVENTS_WAIT = 8.0


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Wait for the owner's turn before anything is read. Raises `OwnerRequests`.

    Only of reads: what is sent may arrive slowly. What changes a session takes its turn once its body is there, with
    `take_turn`; a page that answers a form, when it is made. Prompts, stops and imports have limits of their own.
    """
    owner = request.get(OWNER)
    if owner is None or not is_limited(owner):
        return await handler(request)
    turn = request[TURN] = request.app[TURNS].of(owner)
    if request.method in READS:
        is_events = accept.best(request, (accept.EVENTS,)) == accept.EVENTS
        await turn.take(most=EVENTS_WAIT if is_events else None)
    try:
        response = await handler(request)
    finally:
        turn.give_back()
    in_pieces(request, response)
    return response


async def take_turn(request: web.Request) -> None:
    """Wait for the owner's turn to change something; it ends with the response. Raises `OwnerRequests`."""
    turn = request.get(TURN)
    if turn is not None:
        await turn.take()


async def begin(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001 - of the signal
    """Signal `on_response_prepare`: the response is made, or the first piece of it."""
    turn = request.get(TURN)
    if turn is not None:
        turn.give_back()
