"""The request for one answer, and the handling of a refused request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from app.backends.errors.bodies import read_error_body
from app.backends.http.client import MAX_ERROR_BODY, UpstreamClient
from app.chat.errors import UpstreamError
from app.chat.ports import Request

# Statuses of a refusal. 500, because gateways may report a refusal by their upstream so, and template errors are 500s.
REFUSALS = frozenset({400, 422, 500})
_THEIR_FAULT = ("server", "internal")  # in textual codes that correspond to 500 rather than 400


class Refusal(NamedTuple):
    """A server's response to a request that it refuses."""

    status: int  # HTTP status
    body: bytes
    error: UpstreamError  # the same refusal as an error for users

    @classmethod
    def after_200(cls, body: bytes, error: UpstreamError) -> Refusal | None:
        """Return the refusal in an error that came instead of an answer; `None` if its status is not in `REFUSALS`.

        Many servers send their headers before they check the request, so the error's code takes the place of the
        status. Without a numeric code it counts as 400, or as 500 if the code names a server fault.
        """
        body = body[:MAX_ERROR_BODY]
        code = read_error_body(body).code.lower()
        if code.isascii() and code.isdigit() and len(code) == 3:
            status = int(code)
        else:
            status = 500 if any(word in code for word in _THEIR_FAULT) else 400
        return cls(status, body, error) if status in REFUSALS else None


class Retry(Protocol):
    """Changes a refused request so that it can be sent again."""

    async def refused(self, refusal: Refusal) -> Call | None:
        """Return the request to send instead, `None` if there is none. May raise `UpstreamError`."""
        ...

    def accepted(self) -> None:
        """Called when the server has begun to answer."""
        ...


class Call(NamedTuple):
    """A request: destination, body, and what to do if it is refused."""

    upstream: UpstreamClient
    path: str
    body: bytes
    retry: Retry | None = None


async def encoded(request: Request, encode: Callable[[], bytes]) -> bytes:
    """Return the result of `encode`. Runs in a thread if the request has images, whose encoding takes long."""
    if any(message.pictures for message in request.messages):
        return await asyncio.to_thread(encode)
    return encode()
