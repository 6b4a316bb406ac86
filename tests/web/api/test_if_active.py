"""`if_active`: what a new prompt does to the stream that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.sse import Event
from tests.support.waiting import until
from tests.web.stage import Stage, on_stage, problem, until_event


async def session_events(stage: Stage, ends: int) -> list[Event]:
    """The events of session s1 from its first one, up to the `ends`th `end`."""
    epoch = stage.registry.session("s1").log.epoch
    seen: list[Event] = []
    async with stage.client.events("/api/sessions/s1/events", f"{epoch}-0") as events:
        for _ in range(ends):
            seen += await until_event(events, "end")
    return seen


def turns(events: list[Event]) -> list[tuple[str, str]]:
    """The starts and ends among events, in their order."""
    return [(event.name, event.data["stream_id"]) for event in events if event.name in ("start", "end")]


async def test_supersede_is_the_default(stage: Stage) -> None:
    """The running stream ends `superseded`, then the new one starts; the model never has both."""
    first = await stage.client.post("s1", "first")
    generation = await stage.opened()
    generation.say("Half an")
    second = await stage.client.post("s1", "second")
    (await stage.opened(2)).finish()
    assert generation.aborted.is_set()
    events = await session_events(stage, 2)
    a, b = first["stream_id"], second["stream_id"]
    assert turns(events) == [("start", a), ("end", a), ("start", b), ("end", b)]
    assert [e.data["outcome"] for e in events if e.name == "end"] == ["superseded", "complete"]


async def test_of_many_prompts_at_once_the_newest_runs(stage: Stage) -> None:
    """Every POST that was answered 201 has one `start` and one `end`, in turn; only the last is `complete`."""
    answers = await asyncio.gather(*(stage.client.post("s1", f"prompt {n}") for n in range(20)))
    assert {answer["http"] for answer in answers} == {201}
    newest = max(stage.registry.session("s1"), key=lambda stream: stream.fence)

    def all_ended() -> bool:
        for generation in stage.puppet.generations:
            generation.finish()
        return not stage.registry.statistics().active

    await until(all_ended)
    events = await session_events(stage, 20)
    order = turns(events)
    assert order == [(name, id_) for _, id_ in order[::2] for name in ("start", "end")]
    assert sorted({id_ for _, id_ in order}) == sorted(answer["stream_id"] for answer in answers)
    outcomes = [e.data["outcome"] for e in events if e.name == "end"]
    assert outcomes == ["superseded"] * 19 + ["complete"]
    assert order[-1] == ("end", newest.stream_id)


async def test_reject_leaves_what_runs_alone(stage: Stage) -> None:
    """409 `session_busy` while a stream runs, 201 once it has ended."""
    first = await stage.client.post("s1", "first")
    generation = await stage.opened()
    async with stage.http.post(
        "/api/sessions/s1/streams", json={"prompt": "second", "if_active": "reject"}
    ) as response:
        await problem(response, 409, "session_busy")
    assert not generation.aborted.is_set()
    assert len((await stage.client.get("/api/sessions/s1"))["messages"]) == 2
    generation.finish()
    await stage.client.read_stream(first["stream_id"])
    assert (await stage.client.post("s1", "second", if_active="reject"))["http"] == 201


async def test_of_many_rejecting_prompts_at_once_one_runs(stage: Stage) -> None:
    """One is answered 201, all others 409."""
    posts = (stage.client.post("s1", f"prompt {n}", if_active="reject") for n in range(10))
    assert sorted([answer["http"] for answer in await asyncio.gather(*posts)]) == [201] + [409] * 9


async def test_enqueue_waits_for_the_end(stage: Stage) -> None:
    """The running stream is not signalled; the queued one starts after its `end`, and reads its answer."""
    await stage.client.post("s1", "first")
    generation = await stage.opened()
    second = await stage.client.post("s1", "second", if_active="enqueue")
    assert second["status"] == "queued"
    generation.say("Done")
    generation.finish()
    other = await stage.opened(2)
    assert [message.content for message in other.request.messages] == ["first", "Done", "second"]
    other.finish()
    assert [e.data["outcome"] for e in await session_events(stage, 2) if e.name == "end"] == ["complete"] * 2


async def test_the_line_is_bounded(tmp_path: Path) -> None:
    """Past the limit a prompt is answered 429 with `Retry-After`, and nothing of it is kept."""
    async with on_stage(tmp_path, queue_limit=2) as stage:
        for prompt in ("first", "second"):
            assert (await stage.client.post("s1", prompt, if_active="enqueue"))["http"] == 201
        async with stage.http.post(
            "/api/sessions/s1/streams", json={"prompt": "third", "if_active": "enqueue"}
        ) as response:
            await problem(response, 429, "queue_full")
            assert int(response.headers["Retry-After"]) > 0
        assert len((await stage.client.get("/api/sessions/s1"))["messages"]) == 4


async def test_a_queued_stream_that_is_superseded_never_reaches_the_model(stage: Stage) -> None:
    """It still gets its one `start` and its one `end`, in its turn."""
    first = await stage.client.post("s1", "first")
    await stage.opened()
    second = await stage.client.post("s1", "second", if_active="enqueue")
    third = await stage.client.post("s1", "third")
    (await stage.opened(2)).finish()
    assert stage.puppet.generations[1].request.messages[-1].content == "third"
    ids = [answer["stream_id"] for answer in (first, second, third)]
    assert turns(await session_events(stage, 3)) == [(name, i) for i in ids for name in ("start", "end")]
    assert len(stage.puppet.generations) == 2


async def test_rollback_drops_the_old_exchange(stage: Stage) -> None:
    """The new prompt takes the place of the old one: neither the session nor the model shows that any more."""
    await stage.answer("s1", "kept", "yes")
    old = await stage.client.post("s1", "old")
    (await stage.opened(2)).say("Never mind")
    await stage.client.post("s1", "new", if_active="rollback")
    request = (await stage.opened(3)).request
    assert [message.content for message in request.messages] == ["kept", "yes", "new"]
    messages = (await stage.client.get("/api/sessions/s1"))["messages"]
    assert [message["content"] for message in messages] == ["kept", "yes", "new", ""]
    assert (await stage.client.get(f"/api/streams/{old['stream_id']}"))["outcome"] == "superseded"


async def test_rollback_of_a_finished_answer(stage: Stage) -> None:
    """Nothing is superseded where nothing runs: a rollback then is a plain prompt."""
    await stage.answer("s1", "old", "answer")
    await stage.client.post("s1", "new", if_active="rollback")
    request = (await stage.opened(2)).request
    assert [message.content for message in request.messages] == ["old", "answer", "new"]
