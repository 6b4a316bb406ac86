"""Asks about one model, with a bound of its own: nobody waits for details, and a server has thousands of models.

No error is raised where the answer is in reach: an error that is kept would keep it, too.
"""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec

from app.backends.http import client
from app.backends.http.client import BROKEN, LARGE_ANSWER, READ_SIZE, UpstreamClient
from app.backends.ollama.models import MAX_SHOWN, Shown, read_shown
from app.tasks.timeouts import within


async def shown(upstream: UpstreamClient, model: str) -> Shown:
    """Return the details of a model. Raises `UpstreamError`."""
    try:
        return await within(client.QUESTION_TIMEOUT, _shown(upstream, model))
    except BROKEN as error:  # TimeoutError is an OSError
        raise upstream.voice.before_answer(error) from error


async def _shown(upstream: UpstreamClient, model: str) -> Shown:
    async with await upstream.post("api/show", msgspec.json.encode({"model": model})) as response:
        if response.status != 200:
            raise upstream.voice.rejected(response.status, b"", response.headers)
        found = await _read(response)
    if found is None:
        raise upstream.voice.garbled()
    return found


async def _read(response: aiohttp.ClientResponse) -> Shown | None:
    """Return the details in a response, `None` if they cannot be used."""
    if (response.content_length or 0) > MAX_SHOWN:
        return None
    content = bytearray()
    # In small pieces: aiohttp decompresses ahead by what is asked for.
    while piece := await response.content.read(READ_SIZE):
        content += piece
        if len(content) > MAX_SHOWN:
            return None
    data = bytes(content)
    return _decoded(data) if len(data) < LARGE_ANSWER else await asyncio.to_thread(_decoded, data)


def _decoded(data: bytes) -> Shown | None:
    try:
        return read_shown(data)
    except (ValueError, RecursionError):  # RecursionError: nested too deeply for msgspec
        return None
