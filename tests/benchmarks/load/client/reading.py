"""Two ways to ask and to read the answer to its end: over a raw connection, and with an HTTP library.

The raw one costs the load next to nothing, so it shows what the server does. A library needs a millisecond or so for
each request, which others that ask at the same moment wait for: that is what a measurement from outside shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp

from tests.benchmarks.load.client.answer import PATIENCE, Answer
from tests.benchmarks.load.model import MARK, Order
from tests.benchmarks.load.servers.target import Target


class Got(NamedTuple):
    """What came of an order."""

    first: float | None  # s until the first token
    tokens: int


Read = Callable[[Order], Awaitable[Got]]  # cancelling it hangs up


@asynccontextmanager
async def raw(target: Target) -> AsyncIterator[Read]:
    """Ask over raw connections."""

    async def read(order: Order) -> Got:
        answer = await Answer.ask(target, target.request(order))
        try:
            async with asyncio.timeout(PATIENCE):
                await answer.ended
        finally:
            answer.hang_up()
        return Got(answer.first, answer.tokens)

    yield read


@asynccontextmanager
async def library(target: Target) -> AsyncIterator[Read]:
    """Ask with aiohttp."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:

        async def read(order: Order) -> Got:
            path, body = target.question(order)
            headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
            asked, first, tokens = time.perf_counter(), None, 0
            async with http.post(target.url + path, data=body, headers=headers) as response:
                async for piece in response.content.iter_any():
                    tokens += piece.count(MARK)
                    if first is None and tokens:
                        first = time.perf_counter() - asked
            return Got(first, tokens)

        yield read
