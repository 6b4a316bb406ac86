"""Sends a response in pieces, each made when the one before has been taken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from aiohttp import web

from app.chat.errors import TailraceError
from app.tasks.reports import report
from app.web.app_keys import TURN
from app.web.output.sending import Sending


async def send_pieces(
    request: web.Request, pieces: AsyncIterator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send `pieces` as the body. An error in the middle aborts the connection, so that the client sees it is cut.

    Each piece is made in a turn of the owner.
    """
    piece: bytes | None = await anext(pieces)  # an error here is answered like any other
    response, sending = web.StreamResponse(headers=headers), Sending(request)
    await response.prepare(request)
    try:
        async with aclosing(pieces):  # type: ignore[type-var]
            while piece is not None:
                await sending.send(response, piece)
                del piece  # it must not wait with the next one
                piece = await _next(request, pieces)
        await response.write_eof()
    except (ConnectionError, TailraceError) as error:
        sending.abort()
        if isinstance(error, TailraceError):
            report("a response was cut short", error)
    return response


async def _next(request: web.Request, pieces: AsyncIterator[bytes]) -> bytes | None:
    turn = request.get(TURN)
    if turn is None:
        return await anext(pieces, None)
    async with turn.held(begun=True):
        return await anext(pieces, None)
