"""Visitors: each lives through one session after another, and does in it whatever comes to its mind."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import aiohttp

from tests.support.client import Client
from tests.support.sse import Event, read_events, text_of

# What the model does, and how often. The other faults are in the table of faults; here it is their mixture.
FAULTS = {
    "none": 60,
    "steady": 10,
    "reasoning": 6,
    "hang-before-headers": 3,
    "hang-before-first": 3,
    "hang-middle": 4,
    "drip": 2,
    "reset": 3,
    "close": 2,
    "garbage": 2,
    "error": 2,
    "missing-end": 2,
    "server-error": 1,
    "deaf": 3,
    "flood": 1,
}
MODES = {"supersede": 75, "enqueue": 12, "reject": 8, "rollback": 5}
ACTS = {"read": 35, "leave": 20, "stop": 20, "return": 15, "nothing": 10}
FINE = {200, 201, 204, 409, 429}  # of a POST or a DELETE


class Visitor:
    """One of many. What it sees that must not be goes to `mishaps`; what it did is counted in `done`."""

    def __init__(self, number: int, url: str, seed: int, done: Counter[str], mishaps: list[str]) -> None:
        self._number = number
        self._url = url
        self._dice = random.Random(f"{seed} {number}")
        self._done = done
        self._mishaps = mishaps
        self._lives = 0
        self._session = ""

    async def live(self, until: float) -> None:
        """One session after another until the loop's time is `until`."""
        loop = asyncio.get_running_loop()
        async with Client(self._url) as client:
            while loop.time() < until:
                self._lives += 1
                self._session = f"visitor-{self._number}-{self._lives}"
                try:
                    await self._one_session(client, until)
                except (aiohttp.ClientError, TimeoutError, AssertionError, KeyError) as error:
                    self._mishaps.append(f"{self._session}: {error!r}")

    async def _one_session(self, client: Client, until: float) -> None:
        for _ in range(self._dice.randint(1, 8)):
            registered = await client.post(self._session, key=self._key(), **self._prompt())
            self._note("posted", registered["http"])
            if "stream_id" in registered:
                await self._then(client, registered["stream_id"], registered["cursor"])
            if asyncio.get_running_loop().time() >= until:
                break
        answer = await client.delete(f"/api/sessions/{self._session}")
        self._note("deleted", answer["http"])

    async def _then(self, client: Client, stream_id: str, cursor: str) -> None:
        act = self._choose(ACTS)
        self._done[act] += 1
        if act == "read":
            self._whole(await client.read_stream(stream_id))
        elif act == "leave":
            await self._look(client, stream_id, None)
        elif act == "return":
            events = await self._look(client, stream_id, None)
            await asyncio.sleep(self._dice.uniform(0, 0.5))
            await self._look(client, stream_id, events[-1].id if events else cursor)
        elif act == "stop":
            await asyncio.sleep(self._dice.uniform(0, 0.4))
            self._note("stopped", (await client.stop(stream_id))["http"])
        else:
            await asyncio.sleep(self._dice.uniform(0, 0.3))

    async def _look(self, client: Client, stream_id: str, cursor: str | None) -> list[Event]:
        """See a few events, then leave. The stream may be over: then there is nothing to see."""
        path = f"/api/streams/{stream_id}/events"
        if (await client.get(f"/api/streams/{stream_id}"))["outcome"] is not None:
            return []
        seen: list[Event] = []
        wanted = self._dice.randint(0, 30)
        headers = {"Last-Event-ID": cursor} if cursor else {}
        async with client.http.get(path, headers=headers) as response:
            self._note("looked", response.status)
            if response.status == 200 and wanted:
                async with asyncio.timeout(20):
                    async for event in read_events(response):
                        seen.append(event)
                        if len(seen) >= wanted:
                            break
        return [event for event in seen if event.id]

    def _whole(self, events: list[Event]) -> None:
        """A stream that was read from its start has one start and one end, and a text without gaps."""
        if events and events[-1].name == "reset":
            self._done["reset"] += 1
            return
        names = [event.name for event in events]
        assert names[:1] == ["start"], names[:3]
        assert names.count("end") == 1, names[-3:]
        assert names[-1] == "end", names[-3:]
        text_of(events)

    def _prompt(self) -> dict[str, Any]:
        body: dict[str, Any] = {"prompt": self._words(), "model": "ollama/double"}
        body["if_active"] = self._choose(MODES)
        if self._dice.random() < 0.02:
            body |= {"model": "scripted/deaf", "options": {"max_tokens": 150}}
        elif self._dice.random() < 0.05:
            body["model"] = "scripted/short"
        return body

    def _words(self) -> str:
        fault = self._choose(FAULTS)
        words = f"session={self._session} fault={fault}"
        if fault == "none":
            words += f" tokens={self._dice.randint(1, 60)} pace={self._dice.uniform(0.001, 0.04):.3f}"
        return words

    def _key(self) -> str | None:
        return f"key-{self._dice.getrandbits(64):x}" if self._dice.random() < 0.3 else None

    def _choose(self, weights: dict[str, int]) -> str:
        return self._dice.choices(list(weights), list(weights.values()))[0]

    def _note(self, what: str, status: int) -> None:
        self._done[what] += 1
        if status not in FINE:
            self._mishaps.append(f"{self._session}: {what}, answered {status}")
