"""Whether a prompt is one, asked before it is known which node handles it."""

from __future__ import annotations

from aiohttp import web

from app.chat.errors import TailraceError
from app.web.input import bodies
from app.web.input.stream_request import StreamRequest, read_stream_request
from app.web.problems import ProblemError


async def readable(request: web.Request) -> StreamRequest | None:
    """Return the body of a prompt; `None` if it is refused, or its key: the handler says why."""
    try:
        body = await read_stream_request(request)
        bodies.idempotency_key(request)
    except (ProblemError, TailraceError):
        return None
    return body
