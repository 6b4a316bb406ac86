"""A model server that sends its next token only when the test says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

MODEL = "openai/gated"


class GatedModel:
    """An OpenAI-compatible server with one model. `gate` lets one token through for each `release`."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.gate = asyncio.Semaphore(0)
        self.closed = asyncio.Event()  # a client went away in the middle of an answer
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[GatedModel]:
        """Serve on a free loopback port for the length of the block."""
        app = web.Application()
        app.add_routes(
            [web.get("/v1/models", self._models), web.post("/v1/chat/completions", self._complete)]
        )
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = "http://{}:{}/v1".format(*runner.addresses[0][:2])
            yield self
        finally:
            await runner.cleanup()

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "gated", "object": "model"}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for token in self.tokens:
                await self.gate.acquire()
                await response.write(_chunk({"content": token}, None))
        except (asyncio.CancelledError, ConnectionResetError):
            self.closed.set()
            raise
        await response.write(_chunk({}, "stop") + b"data: [DONE]\n\n")
        return response


def _chunk(delta: dict[str, str], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
