"""Reads the body of an error response, bounded in time and size."""

from __future__ import annotations

import contextlib

import aiohttp

from app.backends.http.client import BROKEN, MAX_ERROR_BODY
from app.tasks.timeouts import within

ERROR_BODY_TIMEOUT = 5.0  # s


async def error_body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, or the part that arrived in time. It may be empty: the status alone then describes the error."""
    body = bytearray()
    with contextlib.suppress(*BROKEN):
        await within(ERROR_BODY_TIMEOUT, _gather(response.content, body))
    return bytes(body)


async def _gather(content: aiohttp.StreamReader, body: bytearray) -> None:
    while (left := MAX_ERROR_BODY - len(body)) > 0 and (piece := await content.read(left)):
        body += piece
