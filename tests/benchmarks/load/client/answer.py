"""Many answers at once over raw connections, whose tokens are counted and timed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Self, cast

from tests.benchmarks.load.model import MARK, Order
from tests.benchmarks.load.servers.target import Target

PATIENCE = 30.0  # s, for anything that should have come long ago
_END = b"0\r\n\r\n"  # the last chunk of a chunked body
_STREAM = re.compile(rb"(?i)location: */api/streams/([\w-]+)")


class Answer(asyncio.Protocol):
    """One request, and the tokens that answer it. A client that reads at once and keeps nothing."""

    def __init__(self, request: bytes, sent: list[float] | None = None) -> None:
        self._request = request
        self._tail = b""
        self._sent = sent  # when each token left the model, where lags are wanted
        self.asked = 0.0
        self.first: float | None = None  # s from the request to the first token
        self.lags: list[float] = []  # s from the model to here, the last token of each read
        self.tokens = 0
        self.head = b""
        self.began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Answer tokens={self.tokens} ended={self.ended.done()}>"

    @classmethod
    async def ask(cls, target: Target, request: bytes) -> Self:
        """Connect and send `request`; the tokens are counted from then on."""
        loop = asyncio.get_running_loop()
        _, answer = await loop.create_connection(lambda: cls(request), *target.address)
        return answer

    def measure_lags(self, sent: list[float] | None) -> None:
        """From now on, compare with the times in `sent`; `None` ends it."""
        self._sent = sent

    def hang_up(self) -> None:
        """Leave, whatever is still to come."""
        self._transport.abort()

    @property
    def stream_id(self) -> str:
        """The id in the `Location` of the response."""
        found = _STREAM.search(self.head)
        assert found is not None, self.head
        return found[1].decode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.asked = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.head:
            self.head = data.partition(b"\r\n\r\n")[0]
        tokens = data.count(MARK)
        if tokens:
            self._count(tokens)
        self._tail = data[-len(_END) :] if len(data) >= len(_END) else (self._tail + data)[-len(_END) :]
        if self._tail == _END:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.began, self.ended):
            if not future.done():
                future.set_result(None)

    def _count(self, tokens: int) -> None:
        now = time.perf_counter()
        self.tokens += tokens
        if self.first is None:
            self.first = now - self.asked
            if not self.began.done():
                self.began.set_result(None)
        if self._sent is not None:
            self.lags.append(now - self._sent[self.tokens - 1])


async def ask_all(target: Target, orders: Iterable[Order], *, spread: float = 0.0) -> list[Answer]:
    """Ask for every order, evenly over `spread` seconds."""
    answers = []
    orders = list(orders)
    for order in orders:
        answers.append(await Answer.ask(target, target.request(order)))
        if spread:
            await asyncio.sleep(spread / len(orders))
    return answers


async def all_began(answers: list[Answer]) -> None:
    """Wait until each has its first token."""
    await _all([answer.began for answer in answers])


async def all_ended(answers: list[Answer]) -> None:
    """Wait until each has ended."""
    await _all([answer.ended for answer in answers])


async def _all(futures: list[asyncio.Future[None]]) -> None:
    _, waiting = await asyncio.wait(futures, timeout=PATIENCE)
    if waiting:
        raise TimeoutError(f"{len(waiting)} of {len(futures)} answers did not come within {PATIENCE:g} s")


def hang_up(answers: list[Answer]) -> None:
    """Leave all of them."""
    for answer in answers:
        answer.hang_up()
