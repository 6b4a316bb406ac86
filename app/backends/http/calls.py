"""What is sent to a model server for one answer, and what becomes of a request that it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from app.backends.errors.bodies import read_error_body
from app.backends.http.client import MAX_ERROR_BODY, UpstreamClient
from app.chat.errors import UpstreamError
from app.chat.ports import Request

# A gateway may pass on a refusal of the server behind it as its own failure; and templates fail with a 500.
REFUSALS = frozenset({400, 422, 500})
_THEIR_FAULT = ("server", "internal")  # in codes that are words, of what is rather a 500 than a 400


class Refusal(NamedTuple):
    """What a server said of a request that it does not take."""

    status: int  # of HTTP
    body: bytes
    error: UpstreamError  # the same as it is told to people

    @classmethod
    def after_200(cls, body: bytes, error: UpstreamError) -> Refusal | None:
        """Return the refusal in an error that came in the place of an answer; `None` if it is something else.

        Many servers send their headers before they look at the request, so the error says by its code what the status
        could not say any more. One without a number counts as 400.
        """
        body = body[:MAX_ERROR_BODY]
        code = read_error_body(body).code.lower()
        if code.isascii() and code.isdigit() and len(code) == 3:
            status = int(code)
        else:
            status = 500 if any(word in code for word in _THEIR_FAULT) else 400
        return cls(status, body, error) if status in REFUSALS else None


class Retry(Protocol):
    """What becomes of a request that may be asked in another way."""

    async def refused(self, refusal: Refusal) -> Call | None:
        """Return the request to send in its place, `None` if there is none. May raise `UpstreamError` itself."""
        ...

    def accepted(self) -> None:
        """The server has begun to answer the request."""
        ...


class Call(NamedTuple):
    """Where to send what."""

    upstream: UpstreamClient
    path: str
    body: bytes
    retry: Retry | None = None


async def encoded(request: Request, encode: Callable[[], bytes]) -> bytes:
    """Return what `encode` makes of a request: beside the event loop where images make it megabytes long."""
    if any(message.pictures for message in request.messages):
        return await asyncio.to_thread(encode)
    return encode()
