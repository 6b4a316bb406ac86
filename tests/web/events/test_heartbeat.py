"""Heartbeats: a page can tell a dead connection from a silent model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.web.stage import NDJSON, Stage, on_stage, take


@pytest.fixture
async def beating(tmp_path: Path) -> AsyncIterator[Stage]:
    """A server whose heart beats fast."""
    async with on_stage(tmp_path, heartbeat=0.15) as stage:
        yield stage


@pytest.mark.slow
async def test_silence_is_broken(beating: Stage) -> None:
    """A heartbeat says the time, has no id, and comes again and again, for a stream and for a session."""
    registered = await beating.client.post("s1", "hello")
    for path in (registered["events_url"], "/api/sessions/s1/events"):
        async with beating.client.events(path) as events:
            seen = await take(events, 5)
        assert [event.name for event in seen] == ["start", "status", "heartbeat", "heartbeat", "heartbeat"]
        assert not any(event.had_id for event in seen[2:])
        assert set(seen[2].data) == {"time"}
        times = [datetime.fromisoformat(event.data["time"]) for event in seen[2:]]
        assert times == sorted(times)
        assert times[0].tzinfo is not None


async def test_a_heartbeat_moves_no_cursor(beating: Stage) -> None:
    """A viewer that comes back after one goes on with the event after its last id."""
    registered = await beating.client.post("s1", "hello")
    generation = await beating.opened()
    generation.say("Hi")
    async with beating.client.events(registered["events_url"]) as events:
        seen = await take(events, 5)
    assert [event.name for event in seen[3:]] == ["token", "heartbeat"]
    generation.finish()
    rest = await beating.client.read_stream(registered["stream_id"], seen[-1].id)
    assert [event.name for event in rest] == ["end"]


async def test_lines_have_heartbeats_too(beating: Stage) -> None:
    """As lines of the type `heartbeat`."""
    async with beating.http.post(
        "/api/sessions/s1/streams", json={"prompt": "hello"}, headers={"Accept": NDJSON}
    ) as response:
        lines = [json.loads(await response.content.readline()) for _ in range(4)]
    assert [line["type"] for line in lines] == ["start", "status", "heartbeat", "heartbeat"]


async def test_the_pulse_rests_when_nobody_looks(beating: Stage) -> None:
    """The one timer beats for viewers; it is there for them alone, and they share it."""
    pulse = beating.pulse
    assert pulse.listeners == 0
    registered = await beating.client.post("s1", "hello")
    async with (
        beating.client.events(registered["events_url"]) as one,
        beating.client.events(registered["events_url"]) as two,
    ):
        await take(one, 2)
        await take(two, 2)
        assert pulse.listeners == 2
    await beating.client.stop(registered["stream_id"])
    await beating.settled()
    assert pulse.listeners == 0
