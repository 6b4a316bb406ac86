"""A real server whose model does as the test says, and the questions that tests of the protocol ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from app.web.app_keys import PULSE
from app.web.events.heartbeat import HeartbeatTimer
from tests.support.client import Client
from tests.support.puppet import PuppetBackend, PuppetGeneration
from tests.support.server import LiveServer, serve
from tests.support.sse import Event
from tests.support.waiting import until

JSON = "application/json"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"


class Stage:
    """A running server with a puppet as its default model; the scripted models are there too."""

    def __init__(self, live: LiveServer, puppet: PuppetBackend) -> None:
        self.live = live
        self.puppet = puppet
        self.registry = live.registry

    @property
    def client(self) -> Client:
        """A client of the server."""
        return self.live.client

    @property
    def http(self) -> aiohttp.ClientSession:
        """The same, for requests that `client` has no words for."""
        return self.live.client.http

    @property
    def pulse(self) -> HeartbeatTimer:
        """What beats for the viewers of the server."""
        return self.live.app[PULSE]

    async def opened(self, number: int = 1) -> PuppetGeneration:
        """Return the generation that was opened as the `number`th, once it is open."""

        def is_open() -> bool:
            generations = self.puppet.generations
            return len(generations) >= number and generations[number - 1].opened.is_set()

        await until(is_open)
        return self.puppet.generations[number - 1]

    async def asked(self, prompt: str) -> PuppetGeneration:
        """Return the generation for this prompt, once it is open. Sessions open theirs in any order."""

        def is_open() -> bool:
            return any(generation.opened.is_set() for generation in self._for(prompt))

        await until(is_open)
        return self._for(prompt)[0]

    def _for(self, prompt: str) -> list[PuppetGeneration]:
        return [made for made in self.puppet.generations if made.request.messages[-1].content == prompt]

    async def settled(self) -> None:
        """Return once no stream is in line and nobody looks on."""

        def is_quiet() -> bool:
            now = self.registry.statistics()
            return not (now.active or now.queued or now.viewers or now.zombies)

        await until(is_quiet)

    async def answer(self, session_id: str, prompt: str, *words: str) -> str:
        """Register a stream, let the model say `words`, wait for the end; return the stream's id."""
        number = len(self.puppet.generations) + 1
        registered = await self.client.post(session_id, prompt)
        generation = await self.opened(number)
        for word in words:
            generation.say(word)
        generation.finish()
        await self.client.read_stream(registered["stream_id"])
        return str(registered["stream_id"])


@asynccontextmanager
async def on_stage(
    folder: Path, *, stubborn: bool = False, deaf: bool = False, **settings: Any
) -> AsyncIterator[Stage]:
    """Run a server whose default model is a puppet."""
    puppet = PuppetBackend(stubborn=stubborn, deaf=deaf)
    chosen = {"default_model": "puppet/puppet", **settings}
    async with serve(folder, extra=(puppet,), **chosen) as live:
        yield Stage(live, puppet)


async def problem(response: aiohttp.ClientResponse, status: int, code: str) -> dict[str, Any]:
    """Check that a response is this problem, as RFC 9457 has it, and return its members."""
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    body: dict[str, Any] = await response.json(content_type=None)
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"].endswith((".", "?"))
    assert "Traceback" not in body["detail"]
    return body


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    """Return the next `count` events."""
    return [await anext(events) for _ in range(count)]


async def until_event(events: AsyncIterator[Event], name: str, count: int = 1) -> list[Event]:
    """Return the events up to the `count`th called `name`, which is the last of them."""
    seen = []
    async for event in events:
        seen.append(event)
        count -= event.name == name
        if not count:
            return seen
    raise AssertionError(f"no {name} among {seen}")
