"""One log line for each refused request: who asked, from which address, for what. Bounded under a flood."""

from __future__ import annotations

import asyncio
from collections import Counter

from aiohttp import web

from app.chat.ports import Logger
from app.web.app_keys import OWNER, PASSED
from app.web.http import forwarded
from app.web.problems import CODE, CODE_HEADER

REFUSED = frozenset({401, 403, 421, 429, 507})  # statuses of answers to who may not, or not now
EACH = 5  # lines a second about one client, so that a flood does not hide the others
ALL = 20  # lines a second
LONGEST = 200  # characters of a path in a line

_LOGGED = web.RequestKey("refusal_logged", bool)


class Refusals:
    """Logs refusals. Those over the bounds are counted, and a line at the end of the second has their number."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._lines: Counter[str] = Counter()  # of this second, by the key of a client
        self._left_out = 0
        self._end: asyncio.TimerHandle | None = None  # of this second

    def __repr__(self) -> str:
        return f"<Refusals lines={self._lines.total()} left_out={self._left_out}>"

    def add(self, request: web.Request, code: str, *, owner: str | None = None) -> None:
        """Log a refusal once per request. `owner` is who asked, if that is known although the access was refused."""
        if request.get(_LOGGED):
            return
        request[_LOGGED] = True
        if self._end is None:
            self._end = asyncio.get_running_loop().call_later(1.0, self._next_second)
        address = forwarded.client(request)
        key = forwarded.counting_key(address)
        if self._lines[key] >= EACH or self._lines.total() >= ALL:
            self._left_out += 1
            return
        self._lines[key] += 1
        self._logger.warning(
            "request_refused",
            owner=owner or request.get(OWNER),
            address=address,
            code=code,
            method=request.method,
            path=request.path[:LONGEST],
        )

    async def see(self, request: web.Request, response: web.StreamResponse) -> None:
        """Signal `on_response_prepare`: log each answer that is a refusal.

        A request that another node passed on is answered by that node, which logs what the client gets. It may get
        something else: a node that does not own the session refuses a request that the next one answers.
        """
        if response.status not in REFUSED:
            return
        code = response.get(CODE, str(response.status))
        if PASSED in request:
            response.headers[CODE_HEADER] = code
        else:
            self.add(request, code)

    async def close(self, _: web.Application) -> None:
        """Signal `on_cleanup`: say what has been left out."""
        if self._end is not None:
            self._end.cancel()
            self._next_second()

    def _next_second(self) -> None:
        self._end = None
        self._lines.clear()
        if self._left_out:
            self._logger.warning("refusals_left_out", count=self._left_out)
            self._left_out = 0
