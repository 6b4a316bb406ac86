"""A connection to a browser that speaks WebDriver BiDi (W3C): commands, their answers, and events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.browser.engines.window import BOUND, BrowserError


class BiDi:
    """Sends commands. Events are kept in the order in which they came."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.events: list[dict[str, Any]] = []
        self._socket = socket
        self._last = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer to a command. Raises `BrowserError`, and `TimeoutError` after `BOUND` seconds."""
        self._last += 1
        answer = self._waiting[self._last] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._last, "method": method, "params": parameters})
        async with asyncio.timeout(BOUND):
            message = await answer
        if message["type"] == "error":
            raise BrowserError(f"{method}: {message['error']}: {message['message']}")
        result: dict[str, Any] = message["result"]
        return result

    async def read(self) -> None:
        """Take what comes until the connection ends."""
        async for frame in self._socket:
            message = frame.json()
            waiter = self._waiting.pop(message.get("id"), None)
            if waiter is None:
                self.events.append(message)
            elif not waiter.done():
                waiter.set_result(message)
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(BrowserError("the browser has closed the connection"))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[BiDi]:
    """A connection with a session of its own; the browser lives on."""
    async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=0) as socket:
        bidi = BiDi(socket)
        reading = asyncio.create_task(bidi.read(), name="bidi")
        try:
            await bidi.call("session.new", capabilities={})
            yield bidi
            await bidi.call("session.end")
        finally:
            await socket.close()
            reading.cancel()
            await asyncio.wait({reading})
