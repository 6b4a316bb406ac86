"""Reads request bodies, bounded in bytes, time and memory. Nothing else reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.typedefs import Handler

from app.web.app_keys import BODIES, BODY, GRANT, OWNER
from app.web.grants import AccessOver
from app.web.http.incoming import BodyTooSlow, Incoming
from app.web.input.body_budget import Share
from app.web.problems import RETRY_AFTER, ProblemError, RequestTooLarge

SHARE = web.RequestKey("share", Share)


async def read(request: web.Request, most: int) -> bytes | bytearray:
    """Return the body, at most `most` bytes. Raises what `feed` raises."""
    if BODY in request:
        return _within(request[BODY], most)
    content = request.content
    if content.is_eof():  # it came with the headers
        _check_access(request)
        return _within(content.read_nowait(), most)
    data = bytearray()
    await feed(request, most, data.extend)
    return data


async def feed(
    request: web.Request, most: int, use: Callable[[bytes], Any], *, is_known_size: bool = False
) -> None:
    """Call `use` with each piece of the body; its bytes count as held until the request is done.

    Raises what `pieces` raises, and a 429.
    """
    if BODY in request:
        use(_within(request[BODY], most))  # it was counted when it was read
        return
    share = request.get(SHARE)
    if share is None:
        share = request[SHARE] = request.app[BODIES].open(request.get(OWNER, ""))
    async for data in pieces(request, most, is_known_size=is_known_size):
        use(data)
        if not await share.grow(len(data)):
            raise _busy()


async def pieces(request: web.Request, most: int, *, is_known_size: bool = False) -> AsyncIterator[bytes]:
    """Yield the body in pieces, for a reader who does not keep them.

    Raises `RequestTooLarge` as soon as the body is known to exceed `most` bytes, a 400 or 408, and
    `AccessOver`. With `is_known_size` it yields that many bytes of a longer one first, because they may say more about
    what is wrong.
    """
    if (request.content_length or 0) > most and not is_known_size:
        raise RequestTooLarge(most)
    if BODY in request:
        yield _within(request[BODY], most)
        return
    connection = request.protocol
    watched = connection if isinstance(connection, Incoming) else None
    if watched is not None:
        watched.begin_body(request.content)
    size = 0
    while data := await _next(request.content, watched):
        size += len(data)
        if size > most:
            raise RequestTooLarge(most)
        yield data
        await asyncio.sleep(0)  # a body that has already arrived must not keep the others waiting
    _check_access(request)


async def _next(content: StreamReader, watched: Incoming | None) -> bytes:
    if watched is not None:
        watched.wait_for(content)
    try:
        return await content.readany()
    except BodyTooSlow as error:
        raise ProblemError(
            408, "body_too_slow", "The request arrived too slowly, or not completely. Send it again."
        ) from error
    except web.RequestPayloadError as error:
        raise ProblemError(
            400, "bad_body", "The body isn't valid HTTP, or it comes in chunks that are far too small."
        ) from error
    finally:
        if watched is not None:
            watched.wait_for(None)


def _check_access(request: web.Request) -> None:
    """Raise `AccessOver` if it ended while the body arrived, which may take hours."""
    grant = request.get(GRANT)
    if grant is not None and grant.is_over:
        raise AccessOver


def _within(data: bytes, most: int) -> bytes:
    if len(data) > most:
        raise RequestTooLarge(most)
    return data


def _busy() -> ProblemError:
    return ProblemError(
        429,
        "too_many_uploads",
        "Too many large uploads at once. Try again when the others are done.",
        headers={"Retry-After": RETRY_AFTER},
    )


def release(request: web.Request) -> None:
    """Give back the memory that the request's body was counted with: what it was made into has been stored."""
    share = request.get(SHARE)
    if share is not None:
        share.close()


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection that the request was let in; release the body when the request is done."""
    connection = request.protocol
    grant = request.get(GRANT)
    if grant is not None and isinstance(connection, Incoming):
        connection.let_in(grant)
    try:
        return await handler(request)
    finally:
        if SHARE in request:
            request[SHARE].close()
