"""A model server that costs next to nothing: Ollama's API over a raw protocol, prebuilt bytes, one timer for all.

What to generate stands in the prompt, as `Order.prompt` writes it. All clocks are `time.perf_counter`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from typing import Literal, NamedTuple, Self, cast

PER_SECOND = 50  # tokens of a paced generation
SLOW_PER_SECOND = 5  # tokens of a slow one
MARK = b"~"  # once in each token, and nowhere else: whoever counts it counts tokens
BURST = 32  # tokens that the lead of a generation is written in
NAME = "bench:latest"
TICK = 0.001  # s
SLOTS = round(1 / (SLOW_PER_SECOND * TICK))  # ticks from one token of the slowest generation to its next
STEPS = {"paced": round(1 / (PER_SECOND * TICK)), "slow": SLOTS}  # ticks from token to token

Manner = Literal["paced", "slow", "flat", "silent"]

_ORDER = re.compile(rb"bench key=(\d+) session=([\w-]+) manner=(\w+) tokens=(\d+) lead=(\d+)")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
_STREAM_HEAD = _HEAD % b"application/x-ndjson" + b"Transfer-Encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _line(content: bytes, end: bytes) -> bytes:
    created = b'"model":"bench:latest","created_at":"2025-01-01T00:00:00.000000000Z"'
    return b'{%b,"message":{"role":"assistant","content":"%b"},"done":%b}\n' % (created, content, end)


TOKEN = _chunk(_line(b" river~", b"false"))
END = _chunk(_line(b"", b'true,"done_reason":"stop","eval_count":1')) + _chunk(b"")


class Order(NamedTuple):
    """What one generation is to be: `paced` or `slow`, `flat` out, or `silent` without even a header.

    The first `lead` tokens of one that has a pace are written flat out.
    """

    key: int
    session: str
    manner: Manner
    tokens: int
    lead: int = 0

    @property
    def prompt(self) -> str:
        """The prompt that asks for it."""
        which = f"bench key={self.key} session={self.session}"
        return f"{which} manner={self.manner} tokens={self.tokens} lead={self.lead}"


class Generation:
    """One answer on its way, and when each token left."""

    __slots__ = ("_flowing", "_left", "_transport", "closed", "order", "sent")

    def __init__(self, order: Order, transport: asyncio.WriteTransport) -> None:
        self.order = order
        self.sent: list[float] = []
        self.closed: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._transport = transport
        self._left = order.tokens
        self._flowing = True

    def __repr__(self) -> str:
        return f"<Generation {self.order.key} left={self._left}>"

    def begin(self) -> None:
        self._transport.write(_STREAM_HEAD)

    def write(self, count: int) -> bool:
        """Write up to `count` tokens; tell whether more are to come."""
        if self.closed.done() or not self._left:
            return False
        if self._flowing:
            count = min(count, self._left)
            self._left -= count
            self.sent += [time.perf_counter()] * count
            self._transport.write(TOKEN * count if self._left else TOKEN * count + END)
        return self._left > 0

    def flow(self, flowing: bool) -> None:
        self._flowing = flowing

    def close(self) -> None:
        if not self.closed.done():
            self.closed.set_result(time.perf_counter())


class Model:
    """The model server. An async context manager; `url` is its address while it is open."""

    def __init__(self) -> None:
        self.url = ""
        self.generations: dict[int, Generation] = {}  # by the key of their order
        self.most_open: Counter[str] = Counter()  # by session
        self._open: Counter[str] = Counter()
        self._wheel: list[list[Generation]] = [[] for _ in range(SLOTS)]
        self._flat: list[Generation] = []

    def __repr__(self) -> str:
        return f"<Model {self.url} open={self._open.total()}>"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=4096)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._ticking = asyncio.create_task(self._tick(), name="bench-model")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ticking.cancel()
        await asyncio.wait({self._ticking})
        self._server.close()

    @property
    def overlaps(self) -> int:
        """Sessions that ever had two generations open at once."""
        return sum(most > 1 for most in self.most_open.values())

    def forget(self) -> None:
        """Drop the records of what is over."""
        self.generations.clear()
        self.most_open.clear()

    def begin(self, order: Order, transport: asyncio.WriteTransport) -> Generation:
        generation = self.generations[order.key] = Generation(order, transport)
        self._open[order.session] += 1
        self.most_open[order.session] = max(self.most_open[order.session], self._open[order.session])
        if order.manner != "silent":
            generation.begin()
        if order.manner == "flat" or order.lead:
            self._flat.append(generation)
        elif order.manner in STEPS and self._goes_on(generation, 1):
            self._pace(generation)
        return generation

    def _pace(self, generation: Generation) -> None:
        slot = self._slot()
        for later in range(0, SLOTS, STEPS[generation.order.manner]):
            self._wheel[(slot + later) % SLOTS].append(generation)

    def end(self, generation: Generation) -> None:
        if not generation.closed.done():
            self._open[generation.order.session] -= 1
            generation.close()

    def _slot(self) -> int:
        return int(time.perf_counter() / TICK) % SLOTS

    async def _tick(self) -> None:
        """Turn the wheel: each slot holds the generations whose next token is due at that tick."""
        slot = self._slot()
        while True:
            await asyncio.sleep(0 if self._flat else TICK)
            self._flat = [generation for generation in self._flat if self._burst(generation)]
            now = self._slot()
            while slot != now:
                slot = (slot + 1) % SLOTS
                due = self._wheel[slot]
                due[:] = [generation for generation in due if self._goes_on(generation, 1)]

    def _goes_on(self, generation: Generation, count: int) -> bool:
        """Write tokens; tell whether more are to come. A whole answer is over, even if its connection is kept."""
        goes_on = generation.write(count)
        if not goes_on:
            self.end(generation)
        return goes_on

    def _burst(self, generation: Generation) -> bool:
        """Write without a pace; tell whether that goes on.

        Whoever writes many tokens at once lets the server merge them, which no model does: only a lead is written so.
        """
        lead = generation.order.lead
        count = min(BURST, lead - len(generation.sent)) if lead else 1
        if not count:
            self._pace(generation)
            return False
        return self._goes_on(generation, count)


class _Connection(asyncio.Protocol):
    """One client. It is answered request by request; only the two questions of Ollama's API are known beside chats."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._buffer = b""
        self._generation: Generation | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._generation is not None:
            self._model.end(self._generation)

    def pause_writing(self) -> None:
        if self._generation is not None:
            self._generation.flow(False)

    def resume_writing(self) -> None:
        if self._generation is not None:
            self._generation.flow(True)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not blank or len(body) < (int(length[1]) if length else 0):
            return
        self._buffer = b""
        if self._generation is not None:
            self._model.end(self._generation)
        path = head.split(b" ", 2)[1]
        if path == b"/api/chat":
            # The conversation so far comes along: the order is the last one in it.
            key, session, manner, tokens, lead = _ORDER.findall(body)[-1]
            kind = cast("Manner", manner.decode())
            order = Order(int(key), session.decode(), kind, int(tokens), int(lead))
            # Of two connections that are ready at the same moment, data is delivered at once, and an end only in the
            # next turn of the loop. Who closed one connection before it used the other has overlapped nothing.
            asyncio.get_running_loop().call_soon(self._begin, order)
        elif path == b"/api/tags":
            self._answer(b'{"models":[{"name":"bench:latest","digest":"1"}]}')
        else:
            self._answer(b"{}")

    def _begin(self, order: Order) -> None:
        self._generation = self._model.begin(order, self._transport)
        if self._transport.is_closing():
            self._model.end(self._generation)

    def _answer(self, body: bytes) -> None:
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        self._transport.write(_HEAD % b"application/json" + length + body)
