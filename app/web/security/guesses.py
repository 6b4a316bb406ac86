"""Wrong tokens: each is counted and logged, and too many are answered `429`.

The token is always compared first, so the right one, or a valid cookie, is never locked out by the guesses of others.
The limits therefore do not protect a weak token: they keep guessing cheap for the server and visible to the operator.
Only the number of possible tokens protects a token.
"""

from __future__ import annotations

import math
from typing import Protocol

from aiohttp import web

from app.web.http import forwarded
from app.web.problems import ProblemError
from app.web.security.guess_counts import GuessCounts
from app.web.security.refusals import Refusals


class Counts(Protocol):
    """Counts that several servers share."""

    async def add(self, client: str) -> float | None:
        """Count a wrong token of a client. Return `None`, or the seconds until the next one is counted."""

    async def close(self) -> None:
        """Close the connections."""


class Guesses:
    """Counts wrong tokens: by the client's address (IPv6 by /64), and of all clients together.

    `own` counts in this process; `shared`, if there is one, counts what `own` still lets through.
    """

    def __init__(self, refusals: Refusals, own: GuessCounts, shared: Counts | None = None) -> None:
        self._refusals = refusals
        self._own = own
        self._shared = shared

    async def wrong(self, request: web.Request, *, owner: str | None = None) -> None:
        """Count and log a wrong token. Raises a 429 if there were too many from this client, or from all together.

        `owner` is whose token it was, if that is known: of an expired or revoked one.
        """
        client = forwarded.counting_key(forwarded.client(request))
        wait = self._own.add(client)
        try:
            if wait is None and self._shared is not None:
                wait = await self._shared.add(client)
        finally:  # also if the client leaves meanwhile
            self._refusals.add(request, "wrong_token" if wait is None else "too_many_guesses", owner=owner)
        if wait is not None:
            raise ProblemError(
                429,
                "too_many_guesses",
                "Wrong token, after too many wrong ones. The right token is accepted at any time.",
                headers={"Retry-After": str(math.ceil(wait))},
            )

    async def close(self, _: web.Application) -> None:
        """Signal `on_cleanup`."""
        if self._shared is not None:
            await self._shared.close()
