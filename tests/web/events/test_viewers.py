"""Viewers that come and go: what their leaving means for the stream, whatever aiohttp does to handlers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.waiting import until
from tests.web.stage import on_stage, take

GRACE = 2.0  # s: what a test does within it takes longer on a loaded machine


@pytest.mark.slow
async def test_without_grace_a_stream_ends_with_its_last_viewer(
    tmp_path: Path, handler_cancellation: bool
) -> None:
    """`viewer_grace` 0: the upstream is closed as soon as the leaving is noticed, also behind a silent model."""
    async with on_stage(tmp_path, viewer_grace=0.0, handler_cancellation=handler_cancellation) as stage:
        registered = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with stage.client.events(registered["events_url"]) as one:
            async with stage.client.events("/api/sessions/s1/events") as other:
                await take(one, 2)
                await take(other, 2)
            await until(lambda: stage.registry.statistics().viewers == 1)
            assert not generation.aborted.is_set()
        await until(generation.aborted.is_set)
        state = await stage.client.get(f"/api/streams/{registered['stream_id']}")
        assert (state["outcome"], state["upstream_closed"]) == ("abandoned", True)


@pytest.mark.slow
async def test_a_stream_outlives_its_viewer_for_the_grace_time(
    tmp_path: Path, handler_cancellation: bool
) -> None:
    """Then it ends `abandoned`, with what came, all the while readable."""
    async with on_stage(tmp_path, viewer_grace=GRACE, handler_cancellation=handler_cancellation) as stage:
        registered = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with stage.client.events(registered["events_url"]) as events:
            await take(events, 2)
        await until(lambda: stage.registry.statistics().viewers == 0)
        generation.say("Nobody hears this")
        state = await stage.client.get(f"/api/streams/{registered['stream_id']}")
        assert state["outcome"] is None
        await until(generation.aborted.is_set)
        await stage.settled()
        answer = (await stage.client.get("/api/sessions/s1"))["messages"][1]
        assert (answer["outcome"], answer["content"]) == ("abandoned", "Nobody hears this")


async def test_the_grace_time_never_passes_where_it_is_never(tmp_path: Path) -> None:
    """`viewer_grace` never: no timer runs, and the answer is finished for whoever comes later."""
    async with on_stage(tmp_path, viewer_grace=None) as stage:
        registered = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with stage.client.events(registered["events_url"]) as events:
            await take(events, 2)
        await until(lambda: stage.registry.statistics().viewers == 0)
        generation.finish()
        assert (await stage.client.read_stream(registered["stream_id"]))[-1].data["outcome"] == "complete"


@pytest.mark.slow
async def test_a_viewer_that_comes_back_in_time_keeps_the_stream(tmp_path: Path) -> None:
    """The grace time is forgotten: the stream outlives several of them while somebody looks."""
    async with on_stage(tmp_path, viewer_grace=GRACE, heartbeat=GRACE / 2) as stage:
        registered = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with stage.client.events(registered["events_url"]) as events:
            seen = await take(events, 2)
        await until(lambda: stage.registry.statistics().viewers == 0)
        async with stage.client.events(registered["events_url"], seen[-1].id) as events:
            beats = await take(events, 3)  # longer than the grace time
            assert {event.name for event in beats} == {"heartbeat"}
            assert not generation.aborted.is_set()
            generation.say("Still here")
            generation.finish()
            rest = [event async for event in events]
        assert [event.name for event in rest] == ["status", "token", "end"]


async def test_a_stream_that_nobody_looked_at_yet_is_not_abandoned(tmp_path: Path) -> None:
    """A page needs a moment to open its events after the POST, also where the grace time is 0."""
    async with on_stage(tmp_path, viewer_grace=0.0) as stage:
        registered = await stage.client.post("s1", "hello")
        (await stage.opened()).finish()
        assert (await stage.client.read_stream(registered["stream_id"]))[-1].data["outcome"] == "complete"


@pytest.mark.slow
async def test_a_leaving_is_noticed_behind_a_silent_model(tmp_path: Path, handler_cancellation: bool) -> None:
    """Nothing is written meanwhile, and still the viewer is gone within a moment."""
    async with on_stage(tmp_path, handler_cancellation=handler_cancellation) as stage:
        registered = await stage.client.post("s1", "hello")
        async with stage.client.events(registered["events_url"]) as events:
            await take(events, 2)
            assert stage.registry.statistics().viewers == 1
        await until(lambda: stage.registry.statistics().viewers == 0)


async def test_many_viewers_leave_nothing_behind(tmp_path: Path, handler_cancellation: bool) -> None:
    """Neither a listener nor a place in the pulse, however they left."""
    async with on_stage(tmp_path, handler_cancellation=handler_cancellation) as stage:
        registered = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        for number in range(20):
            async with stage.client.events(registered["events_url"]) as events:
                await take(events, 2 if number % 2 else 1)
        generation.finish()
        await stage.client.read_stream(registered["stream_id"])
        await stage.settled()
        assert stage.registry.session("s1").log.listeners == 0
        assert stage.pulse.listeners == 0
