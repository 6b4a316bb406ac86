"""`GET /api/sessions/{session_id}/events`: for as long as the page lives."""

from __future__ import annotations

from tests.support.client import Client
from tests.support.waiting import until
from tests.web.stage import Stage, problem, take, until_event

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


async def test_a_session_that_is_not_there_has_no_events(client: Client) -> None:
    """404, as a problem."""
    async with client.http.get("/api/sessions/nobody/events") as response:
        await problem(response, 404, "session_not_found")
