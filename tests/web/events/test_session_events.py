"""`GET /api/sessions/{session_id}/events`: for as long as the page lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.chat.submission import Submission
from app.web.app_keys import LIMITS
from tests.support.sse import Event
from tests.support.waiting import until
from tests.web.stage import Stage, on_stage, problem, take, until_event

EVENTS = "/api/sessions/s1/events"


async def test_it_begins_at_the_start_of_what_runs(stage: Stage) -> None:
    """Without a cursor; what has ended before is the snapshot's to show."""
    await stage.answer("s1", "first", "one")
    second = await stage.client.post("s1", "second")
    (await stage.opened(2)).say("two")
    async with stage.client.events(EVENTS) as events:
        seen = await until_event(events, "token")
    assert [event.name for event in seen] == ["start", "status", "status", "token"]
    assert {event.data["stream_id"] for event in seen} == {second["stream_id"]}


async def test_it_is_live_where_nothing_runs(stage: Stage) -> None:
    """The first event is that of the next prompt."""
    await stage.answer("s1", "first", "one")
    async with stage.client.events(EVENTS) as events:
        second = await stage.client.post("s1", "second")
        start = await anext(events)
    assert (start.name, start.data["stream_id"]) == ("start", second["stream_id"])


async def test_it_goes_on_from_stream_to_stream(stage: Stage) -> None:
    """One response carries all of them in turn, and does not end with an `end`."""
    await stage.client.post("s1", "first")
    async with stage.client.events(EVENTS) as events:
        (await stage.opened()).finish()
        seen = await until_event(events, "end")
        await stage.client.post("s1", "second")
        await stage.opened(2)
        await stage.client.post("s1", "third")
        (await stage.opened(3)).finish()
        seen += await until_event(events, "end") + await until_event(events, "end")
    assert [e.data["outcome"] for e in seen if e.name == "end"] == ["complete", "superseded", "complete"]
    assert [e.data["prompt"]["text"] for e in seen if e.name == "start"] == ["first", "second", "third"]
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))


async def test_it_ends_with_its_session(stage: Stage) -> None:
    """A deleted session's viewers see the `end` of what ran, and then the end of the response."""
    await stage.client.post("s1", "first")
    await stage.opened()
    async with stage.client.events(EVENTS) as events:
        await take(events, 2)
        assert (await stage.client.delete("/api/sessions/s1"))["http"] == 204
        rest = [event async for event in events]
    assert [(event.name, event.data["outcome"]) for event in rest] == [("end", "stopped")]


async def test_other_sessions_stay_apart(stage: Stage) -> None:
    """A viewer of one session sees nothing of another."""
    await stage.answer("s1", "first", "one")
    async with stage.client.events(EVENTS) as events:
        await stage.answer("s2", "other", "two")
        mine = await stage.client.post("s1", "second")
        assert (await anext(events)).data["stream_id"] == mine["stream_id"]


async def test_a_viewer_that_leaves_is_forgotten(stage: Stage) -> None:
    """Nothing of it is left in the server, and the stream runs on."""
    await stage.client.post("s1", "first")
    generation = await stage.opened()
    async with stage.client.events(EVENTS) as events:
        await take(events, 2)
        assert stage.registry.statistics().viewers == 1
    await until(lambda: stage.registry.statistics().viewers == 0)
    assert stage.registry.session("s1").log.listeners == 0
    assert not generation.aborted.is_set()


async def test_a_session_that_is_not_there_is_waited_for(stage: Stage) -> None:
    """The response stays open, and begins with the first prompt; then it is one like any other."""
    async with stage.client.events(EVENTS) as events:
        assert stage.registry.arrivals.waiting == 1
        first = await stage.client.post("s1", "first")
        (await stage.opened()).finish()
        seen = await until_event(events, "end")
        await stage.client.post("s1", "second")
        seen += await take(events, 1)
        assert stage.registry.statistics().viewers == 1
    assert [event.name for event in seen] == ["start", "status", "end", "start"]
    assert [event.seq for event in seen] == [1, 2, 3, 4]
    assert seen[0].data["stream_id"] == first["stream_id"]
    assert stage.registry.arrivals.waiting == 0
    await until(lambda: stage.registry.statistics().viewers == 0)


async def test_those_who_wait_hear_signs_of_life(tmp_path: Path) -> None:
    """As those do who look at a session in which nothing happens."""
    async with on_stage(tmp_path, heartbeat=0.05) as stage, stage.client.events(EVENTS) as events:
        assert [event.name for event in await take(events, 2)] == ["heartbeat", "heartbeat"]


async def test_who_waited_and_left_is_forgotten(stage: Stage) -> None:
    """Nothing of it is left in the server."""
    async with stage.client.events(EVENTS):
        assert stage.registry.arrivals.waiting == 1
    await until(lambda: stage.registry.arrivals.waiting == 0)
    assert stage.registry.statistics().sessions == 0


async def test_other_sessions_are_not_what_is_waited_for(stage: Stage) -> None:
    """A prompt elsewhere ends no wait."""
    async with stage.client.events(EVENTS) as events:
        await stage.answer("s2", "other", "two")
        mine = await stage.client.post("s1", "mine")
        assert (await anext(events)).data["stream_id"] == mine["stream_id"]


@pytest.mark.slow
async def test_a_session_of_somebody_else_does_not_come_into_being(stage: Stage) -> None:
    """To others it does not exist, whether they waited before it began or after."""
    async with stage.client.events(EVENTS) as before:
        await theirs(stage, "s1", "secret")
        async with stage.client.events(EVENTS) as after:
            assert stage.registry.arrivals.waiting == 2
            assert (await stage.client.post("s1", "mine"))["http"] == 404
            assert await silent(before)
            assert await silent(after)


async def theirs(stage: Stage, session_id: str, prompt: str) -> None:
    """Have another owner begin a session."""
    ask = Submission(
        owner="somebody else",
        session_id=session_id,
        prompt=prompt,
        model=(await stage.puppet.models())[0],
        backend=stage.puppet,
    )
    await stage.registry.register(ask)
    (await stage.opened()).say("secret")


async def silent(events: AsyncIterator[Event]) -> bool:
    """Tell whether nothing comes: a heartbeat would be long in coming."""
    coming = asyncio.ensure_future(anext(events))
    done, _ = await asyncio.wait({coming}, timeout=0.2)
    coming.cancel()
    return not done


async def test_with_a_cursor_a_session_did_exist(stage: Stage) -> None:
    """Deleted, it is a 404: a viewer that comes back need not wait for it."""
    async with stage.http.get(EVENTS, headers={"Last-Event-ID": "1-1"}) as response:
        await problem(response, 404, "session_not_found")
    async with stage.http.get(f"{EVENTS}?after=1-1") as response:
        await problem(response, 404, "session_not_found")


async def test_a_session_that_comes_back_is_shown_to_who_waits(stage: Stage) -> None:
    """From then on, for nothing runs in it."""
    await stage.answer("s1", "first", "one")
    await stage.client.delete("/api/sessions/s1")
    async with stage.client.events(EVENTS) as events:
        await stage.http.post("/api/sessions/s1/restore")
        again = await stage.client.post("s1", "again")
        assert (await anext(events)).data["stream_id"] == again["stream_id"]


@pytest.mark.slow
async def test_waits_are_bounded(stage: Stage) -> None:
    """429, with Retry-After; a session that exists is shown all the same."""
    most = stage.live.app[LIMITS].max_waiting
    async with AsyncExitStack() as waits:
        for number in range(most):
            await waits.enter_async_context(stage.client.events(f"/api/sessions/wait{number}/events"))
        async with stage.http.get(EVENTS) as response:
            await problem(response, 429, "too_many_waiting")
            assert response.headers["Retry-After"]
        await stage.client.post("s1", "hello")
        async with stage.client.events(EVENTS) as events:
            assert (await anext(events)).name == "start"
    await until(lambda: stage.registry.arrivals.waiting == 0)


async def test_the_end_of_the_server_ends_the_wait(tmp_path: Path) -> None:
    """Cleanly, with the time to come back."""
    async with on_stage(tmp_path) as stage, stage.http.get(EVENTS) as response:
        await until(lambda: stage.registry.arrivals.waiting == 1)
        await stage.registry.close()
        text = (await response.read()).decode()
    assert text.count("retry: ") == 2
    assert "event:" not in text


@pytest.mark.parametrize("round_", range(20))
async def test_no_first_prompt_is_missed(stage: Stage, round_: int) -> None:
    """However the question and the prompt meet."""
    path = f"/api/sessions/race{round_}/events"

    async def ask() -> dict[str, Any]:
        for _ in range(round_ % 7):
            await asyncio.sleep(0)
        return await stage.client.post(f"race{round_}", "hello")

    asking = asyncio.create_task(ask())
    async with stage.client.events(path) as events:
        assert (await anext(events)).name == "start"
    await asking


@pytest.mark.parametrize("name", ["after", "cursor"])
async def test_a_cursor_in_the_address(stage: Stage, name: str) -> None:
    """`?cursor=` means the same as `?after=`."""
    await stage.answer("s1", "first", "one")
    posted = await stage.client.post("s1", "second")
    async with stage.client.events(f"{EVENTS}?{name}={posted['cursor']}") as events:
        assert (await anext(events)).data["stream_id"] == posted["stream_id"]
    epoch = posted["cursor"].split("-")[0]
    async with stage.client.events(f"{EVENTS}?{name}={epoch}-0") as events:
        assert (await anext(events)).data["prompt"]["text"] == "first"
