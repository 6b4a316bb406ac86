"""The storm: 60 sessions with random prompts, stops and leaving viewers at once, before a model that counts."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.ollama import OllamaDouble
from tests.functional.loglines import LogFile
from tests.support.server import LiveServer, serve
from tests.support.sse import Event
from tests.support.waiting import until

SESSIONS = 60
ROUNDS = 6
KINDS = (
    "tokens=5",
    "tokens=20 pace=0.003",
    "fault=steady",
    "fault=hang-before-first",
    "fault=hang-middle",
    "fault=error",
    "fault=reset",
)
IF_ACTIVE = ("supersede", "supersede", "rollback", "enqueue", "reject")
BOUND = 60.0  # seconds, for everything: the machine may be busy


@pytest.fixture
async def double() -> AsyncIterator[OllamaDouble]:
    """An Ollama that counts the generations of each session."""
    async with OllamaDouble() as double:
        yield double


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += str(entry.readlink()).startswith("socket:")
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return count


class Visitor:
    """One session's user, who cannot wait."""

    def __init__(self, live: LiveServer, number: int, seed: int) -> None:
        self.client = live.client
        self.session_id = f"storm-{number}"
        self.registered: list[str] = []  # ids in the order of the POSTs that were answered 201
        self._random = random.Random(f"{seed}/{number}")
        self._viewing: set[asyncio.Task[None]] = set()

    async def visit(self) -> None:
        """Do a few things at random; end with a prompt that has to be answered."""
        await self._prompt("fault=steady", "supersede")
        for _ in range(ROUNDS):
            await asyncio.sleep(self._random.uniform(0, 0.05))
            act = self._random.choice(
                [self._prompt_at_random, self._prompt_at_random, self._stop, self._look]
            )
            await act()
        await self._prompt("tokens=5", "supersede")
        if self._viewing:
            await asyncio.wait(self._viewing)

    async def _prompt_at_random(self) -> None:
        await self._prompt(self._random.choice(KINDS), self._random.choice(IF_ACTIVE))

    async def _prompt(self, kind: str, if_active: str) -> None:
        prompt = f"session={self.session_id} {kind}"
        answer = await self.client.post(self.session_id, prompt, if_active=if_active)
        assert answer["http"] == 201 or answer["code"] in ("session_busy", "queue_full"), answer
        if answer["http"] == 201:
            self.registered.append(answer["stream_id"])

    async def _stop(self) -> None:
        if self._random.random() < 0.5:
            stream_id, wait = self._random.choice(self.registered), self._random.choice([0, 2])
            answer = await self.client.stop(stream_id, wait=wait)
        else:
            answer = await self.client.delete(f"/api/sessions/{self.session_id}/stream")
        assert answer["http"] in (200, 204)

    async def _look(self) -> None:
        """Open a stream of events beside everything else, and leave it after a moment."""
        paths = [f"/api/sessions/{self.session_id}/events", f"/api/streams/{self.registered[-1]}/events"]
        path, patience = self._random.choice(paths), self._random.randrange(8)
        task = asyncio.create_task(self._view(path, patience, self._random.uniform(0, 0.1)))
        self._viewing.add(task)
        task.add_done_callback(self._viewing.discard)

    async def _view(self, path: str, patience: int, seconds: float) -> None:
        async with self.client.http.get(path) as response:
            try:
                async with asyncio.timeout(seconds):
                    for _ in range(patience):
                        await response.content.readline()
            except TimeoutError:
                return  # it has looked for long enough

    async def all_events(self, epoch: int) -> list[Event]:
        """Read the whole session log, up to the end of the last stream."""
        seen: list[Event] = []
        async with self.client.events(f"/api/sessions/{self.session_id}/events", f"{epoch}-0") as events:
            async for event in events:
                seen.append(event)
                if event.name == "end" and event.data["stream_id"] == self.registered[-1]:
                    break
        return seen


def check_log(events: list[Event], registered: list[str]) -> list[str]:
    """Check that the streams took turns in the order of their POSTs, each whole; return the outcomes."""
    turns = [(event.name, event.data["stream_id"]) for event in events if event.name in ("start", "end")]
    assert turns == [(name, stream_id) for stream_id in registered for name in ("start", "end")]
    running = None
    expected = 1
    for event in events:
        if event.name == "start":
            running = event.data["stream_id"]
        if event.name == "heartbeat":
            continue
        assert event.data["stream_id"] == running
        expected += event.data.get("count", 1)
        assert event.seq == expected - 1
    return [event.data["outcome"] for event in events if event.name == "end"]


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_storm(
    double: OllamaDouble, log: LogFile, tmp_path: Path, handler_cancellation: bool, seed: int
) -> None:
    """Never two open generations in a session, each stream with one start and one end in turn, and nothing left."""
    gc.collect()
    tasks_before, sockets_before = asyncio.all_tasks(), sockets()
    settings: dict[str, Any] = {
        "ollama_url": double.url,
        "scripted": False,
        "handler_cancellation": handler_cancellation,
    }
    async with asyncio.timeout(BOUND), serve(tmp_path, **settings) as live:
        visitors = [Visitor(live, number, seed) for number in range(SESSIONS)]
        await asyncio.gather(*(visitor.visit() for visitor in visitors))
        for visitor in visitors:
            epoch = live.registry.session(visitor.session_id).log.epoch
            outcomes = check_log(await visitor.all_events(epoch), visitor.registered)
            assert outcomes[-1] == "complete"
        assert double.ledger.overlaps == []
        assert double.ledger.opened > SESSIONS

        await until(lambda: double.ledger.open == 0)
        await until(lambda: live.registry.statistics().viewers == 0)
        now = live.registry.statistics()
        registered = sum(len(visitor.registered) for visitor in visitors)
        assert (now.active, now.queued, now.viewers, now.zombies) == (0, 0, 0, 0)
        assert now.started == sum(now.ended.values()) == registered
        assert {"complete", "superseded", "stopped", "failed"} <= set(now.ended)
        ours = ("conductor", "producer", "register", "catalog")
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith(ours)]

    assert len(log.grep("stream_start")) == len(log.grep("stream_end")) == registered
    troubles = [line for line in log.grep(" error \\|Traceback") if "tests/doubles" not in line]
    assert not troubles
    gc.collect()
    await until(lambda: asyncio.all_tasks() <= tasks_before)
    await until(lambda: sockets() <= sockets_before)
