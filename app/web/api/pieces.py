"""Sends a response in pieces, each made when the one before has been taken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from aiohttp import web

from app.chat.errors import TailraceError
from app.tasks.reports import report
from app.tasks.timeouts import within

STALL_SECONDS = 60.0  # that a client may take for a piece; then the connection is aborted


async def send_pieces(
    request: web.Request, pieces: AsyncIterator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send `pieces` as the body. An error in the middle aborts the connection, so that the client sees it is cut."""
    first = await anext(pieces)  # an error here is answered like any other
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    try:
        async with aclosing(pieces):  # type: ignore[type-var]
            await within(STALL_SECONDS, response.write(first))
            async for piece in pieces:
                await within(STALL_SECONDS, response.write(piece))
        await response.write_eof()
    except (TimeoutError, ConnectionError, TailraceError) as error:
        _abort(request)
        if isinstance(error, TailraceError):
            report("a response was cut short", error)
    return response


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
