"""Slow and absent viewers: they cost a bounded amount of memory, delay nobody, and catch up or are reset."""

from __future__ import annotations

import asyncio
import random
import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.web.events import push
from tests.doubles.ollama import OllamaDouble
from tests.faults.footprint import Footprint, back_to
from tests.support.client import Client
from tests.support.raw_viewer import ROOM, RawViewer
from tests.support.server import LiveServer, serve
from tests.support.sse import text_of
from tests.support.waiting import until, until_told

KIB = 1024
# What one stalled viewer may hold in this process: its transport's limit, one replay, and aiohttp's own state.
STALLED_BYTES = push.BUFFER_BYTES + 64 * KIB + 32 * KIB
LOGGED_BYTES = 100  # what a token may take in the log and in the history, at most
FRAME_BYTES = 100  # of a frame with one token, at least


@asynccontextmanager
async def flooding(folder: Path, **settings: Any) -> AsyncIterator[LiveServer]:
    """A server in front of a model double; afterwards nothing is left of either."""
    before = Footprint.now()
    async with OllamaDouble() as double:
        # In memory: a database opens its connections when they are first needed, and files are counted here.
        kept = {"database_url": "memory:", "scripted": False}
        chosen = {**kept, "ollama_url": double.url, "heartbeat": 1.5, **settings}
        async with little_room(), serve(folder, **chosen) as live:
            await live.client.get("/api/models")  # what is loaded on first use is loaded
            yield live
    await back_to(before)


@asynccontextmanager
async def little_room() -> AsyncIterator[None]:
    """Let the kernel hold little for a connection, where it would hold megabytes: a viewer is soon behind.

    It is so for the servers that this loop starts while the block lasts.
    """
    loop = asyncio.get_running_loop()
    create = loop.create_server

    async def listening(*arguments: Any, **named: Any) -> asyncio.Server:
        server = await create(*arguments, **named)
        for listener in server.sockets:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * KIB)  # its connections inherit it
        return server

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "create_server", listening)
        yield


async def ask(client: Client, session: str, tokens: int, pace: float = 0.0) -> str:
    """Register a stream of so many tokens; return its id."""
    prompt = f"fault=flood tokens={tokens} pace={pace}"
    return str((await client.post(session, prompt, model="ollama/double"))["stream_id"])


def events_of(stream_id: str) -> str:
    return f"/api/streams/{stream_id}/events"


def slow_viewer(live: LiveServer, path: str) -> RawViewer:
    """One that reads when it is told to, and for which the kernel holds little."""
    return RawViewer(live.url, path, room=ROOM)


async def test_a_viewer_that_never_reads_delays_nobody_and_catches_up(tmp_path: Path) -> None:
    """Others see the end while it has nothing yet; when it reads at last, every token comes, in order, and the end."""
    async with flooding(tmp_path) as live:
        stream_id = await ask(live.client, "s1", 60_000)
        async with slow_viewer(live, events_of(stream_id)) as slow:
            await until(lambda: live.registry.statistics().viewers == 1)
            fast = await live.client.read_stream(stream_id)
            assert (fast[-1].name, fast[-1].data["outcome"]) == ("end", "complete")
            assert live.registry.statistics().viewers == 1  # it is still being served
            assert slow.received == 0
            await slow.read_to_the_end()
            assert text_of(slow.events) == text_of(fast)
            assert slow.events[-1].name == "end"


async def test_a_viewer_that_reads_a_byte_at_a_time_delays_nobody(tmp_path: Path) -> None:
    """Ten others see whole answers, one after another, while it gets on by a byte for each."""
    async with flooding(tmp_path) as live:
        stream_id = await ask(live.client, "slow", 60_000)
        async with slow_viewer(live, events_of(stream_id)) as slow:
            for number in range(10):
                await slow.read(1)
                events = await live.client.read_stream(await ask(live.client, f"s{number}", 200))
                assert events[-1].data["outcome"] == "complete"
            assert slow.received == 10
            await slow.read_to_the_end()
            assert len(text_of(slow.events)) == len(text_of(await live.client.read_stream(stream_id)))


async def test_a_viewer_that_fell_out_of_the_log_is_reset(tmp_path: Path) -> None:
    """What it has is without a gap; then it is told to load the snapshot, from which it can go on."""
    async with flooding(tmp_path, log_bytes=64 * KIB) as live:
        stream_id = await ask(live.client, "s1", 60_000)
        async with slow_viewer(live, "/api/sessions/s1/events") as slow:
            await until(lambda: live.registry.statistics().viewers == 1)
            path = f"/api/streams/{stream_id}"

            async def has_ended() -> bool:
                return (await live.client.get(path))["outcome"] is not None

            await until_told(has_ended, within=30)
            await slow.read_to_the_end()
            *seen, last = slow.events
            assert (last.name, last.data["reason"]) == ("reset", "lagging")
            assert last.data["snapshot_url"] == "/api/sessions/s1"
            assert next(event.name for event in seen if event.name != "heartbeat") == "start"
            assert 0 < sum(event.data["count"] for event in seen if event.name == "token") < 60_000
            assert text_of(seen)
        snapshot = await live.client.get("/api/sessions/s1")
        newer = await ask(live.client, "s1", 5)
        async with live.client.events("/api/sessions/s1/events", snapshot["cursor"]) as events:
            assert (await anext(events)).data["stream_id"] == newer


@pytest.mark.parametrize("when", ["live", "replay"])
async def test_a_viewer_that_stalls_for_too_long_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Its connection is closed, and so nothing is held for it any more: during an answer, and long after one."""
    monkeypatch.setattr(push, "STALL_SECONDS", 0.3)
    async with flooding(tmp_path) as live:
        stream_id = await ask(live.client, "s1", 60_000)
        if when == "replay":
            await live.client.read_stream(stream_id)
        async with slow_viewer(live, events_of(stream_id)) as slow:
            await until(lambda: live.registry.statistics().viewers == 1)
            await until(lambda: live.registry.statistics().viewers == 0, within=20)
            await slow.read_to_the_end()
            assert slow.over
            assert b"event: end\n" not in slow.body


async def test_the_memory_of_viewers_that_never_read_is_bounded(tmp_path: Path) -> None:
    """Each holds a buffer of fixed size, however much it has missed: here some twenty times as much."""
    viewers, tokens = 40, 30_000
    async with flooding(tmp_path) as live, AsyncExitStack() as stack:
        await live.client.read_stream(await ask(live.client, "s1", 1_000))
        tracemalloc.start()
        try:
            for _ in range(viewers):
                await stack.enter_async_context(slow_viewer(live, "/api/sessions/s1/events"))
            await until(lambda: live.registry.statistics().viewers == viewers)
            await ask(live.client, "s1", tokens)
            await until(lambda: live.registry.statistics().tokens == 1_000 + tokens, within=60)
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert live.registry.statistics().viewers == viewers
        assert held < viewers * STALLED_BYTES + tokens * LOGGED_BYTES
        assert viewers * tokens * FRAME_BYTES > 15 * held, "they have not missed enough to prove anything"


async def test_viewers_that_come_and_go(tmp_path: Path) -> None:
    """Two hundred look for a moment; who stays sees everything, and of them nothing is left."""
    dice = random.Random(1)
    async with flooding(tmp_path) as live:
        stream_id = await ask(live.client, "s1", 2_000, pace=0.002)
        staying = asyncio.create_task(live.client.read_stream(stream_id))
        before = Footprint.now().files
        looks = 0

        async def look() -> None:
            nonlocal looks
            wanted = dice.randint(0, 20)
            path = dice.choice([events_of(stream_id), "/api/sessions/s1/events"])
            async with live.client.events(path) as events:
                for _ in range(wanted):
                    await anext(events)
            looks += 1

        waiting = [look() for _ in range(200)]
        while waiting:
            together, waiting = waiting[:20], waiting[20:]
            await asyncio.gather(*together)
        assert looks == 200
        assert not staying.done(), "they came too late to be in anybody's way"
        events = await staying
        assert sum(event.data["count"] for event in events if event.name == "token") == 2_000
        assert text_of(events)
        session = live.registry.find("s1")
        assert session is not None
        await until(lambda: (session.viewers, session.log.listeners) == (0, 0))
        await until(lambda: Footprint.now().files <= before)
