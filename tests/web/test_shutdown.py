"""The end of the server: prompts are turned down, answers end `interrupted`, viewers are told."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.sse import Event
from tests.web.stage import Stage, on_stage, problem, take


async def test_a_draining_server_takes_no_prompts(stage: Stage) -> None:
    """503 with `Retry-After`; it is not ready, but alive, and everything else is answered."""
    registered = await stage.client.post("s1", "hello")
    stage.registry.drain()
    async with stage.http.post("/api/sessions/s2/streams", json={"prompt": "hello"}) as response:
        await problem(response, 503, "draining")
        assert int(response.headers["Retry-After"]) > 0
    for path in ("/readyz", "/servez"):
        async with stage.http.get(path) as response:
            await problem(response, 503, "draining")
    for path in ("/healthz", "/api/sessions/s1", f"/api/streams/{registered['stream_id']}", "/metrics"):
        async with stage.http.get(path) as response:
            assert response.status == 200
    assert (await stage.client.stop(registered["stream_id"]))["outcome"] == "stopped"


async def test_a_draining_server_knows_its_keys(stage: Stage) -> None:
    """A POST that is sent again gets its answer: what it asks for is there. Any other key is turned down."""
    first = await stage.client.post("s1", "hello", key="k1")
    stage.registry.drain()
    again = await stage.client.post("s1", "hello", key="k1")
    assert (again["http"], again["stream_id"]) == (200, first["stream_id"])
    other = await stage.client.post("s1", "hello", key="k2")
    assert (other["http"], other["code"]) == (503, "draining")


@pytest.mark.slow
async def test_running_answers_may_finish_while_it_drains(stage: Stage) -> None:
    """Those that do in time are `complete`, the others are `interrupted` when the patience is over."""
    ids = [(await stage.client.post(f"session-of-{word}", word))["stream_id"] for word in ("one", "other")]
    one, other = await stage.asked("one"), await stage.asked("other")
    closing = asyncio.create_task(stage.registry.close(patience=3))
    one.say("Just in time")
    one.finish()
    await closing
    assert other.aborted.is_set()
    outcomes = [(await stage.client.get(f"/api/streams/{stream_id}"))["outcome"] for stream_id in ids]
    assert outcomes == ["complete", "interrupted"]


async def test_viewers_see_the_end(tmp_path: Path, handler_cancellation: bool) -> None:
    """A stream that the shutdown ends says so, with what came before, and the responses end properly."""
    async with (
        on_stage(tmp_path, handler_cancellation=handler_cancellation) as stage,
        Client(stage.live.url) as client,
    ):
        registered = await stage.client.post("s1", "hello")
        idle = await stage.client.post("s2", "finish")
        (await stage.asked("finish")).finish()
        await stage.client.read_stream(idle["stream_id"])

        async def watch(path: str, expected: int, ready: asyncio.Event) -> list[Event]:
            async with client.events(path) as events:
                seen = await take(events, expected)
                ready.set()
                return seen + [event async for event in events]

        (await stage.asked("hello")).say("Half an")
        watchers, ready = [], []
        shown = {registered["events_url"]: 4, "/api/sessions/s1/events": 4, "/api/sessions/s2/events": 0}
        for path, expected in shown.items():
            ready.append(asyncio.Event())
            watchers.append(asyncio.create_task(watch(path, expected, ready[-1])))
        await asyncio.gather(*(event.wait() for event in ready))
        async with asyncio.timeout(10):
            await stage.registry.close()
            one, whole, quiet = await asyncio.gather(*watchers)
        for seen in (one, whole):
            assert [event.name for event in seen] == ["start", "status", "status", "token", "end"]
            assert (seen[-1].data["outcome"], seen[-1].data["upstream_closed"]) == ("interrupted", True)
        assert quiet == []


async def test_the_end_takes_no_longer_than_its_bounds(tmp_path: Path) -> None:
    """Also where a model does not close, a viewer does not read and a page keeps its connection open."""
    async with on_stage(tmp_path, stubborn=True, supersede_timeout=0.3) as stage:
        client = Client(stage.live.url)
        for number in range(5):
            await client.post(f"s{number}", "hello")
            await stage.opened(number + 1)
        response = await client.http.get("/api/sessions/s1/events")
        began = time.monotonic()
    assert time.monotonic() - began < 10
    response.close()
    await client.http.close()
    assert stage.registry.statistics().ended == {"interrupted": 5}
