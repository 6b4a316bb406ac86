"""`POST /api/sessions/{session_id}/streams`, as JSON and as a stream of events."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.sse import read_events, text_of
from tests.web.stage import JSON, SSE, Stage, on_stage, take

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def test_a_post_is_answered_with_what_it_registered(client: Client) -> None:
    """201, the five members, and a Location that names the stream."""
    answer = await client.post("s1", "hello", model="scripted/short")
    headers = answer.pop("headers")
    assert answer.pop("http") == 201
    assert headers["Location"] == f"/api/streams/{answer['stream_id']}"
    assert headers["Content-Type"].split(";")[0] == JSON
    assert set(answer) == {"stream_id", "session_id", "status", "events_url", "cursor"}
    assert answer["session_id"] == "s1"
    assert answer["status"] == "thinking"
    assert answer["events_url"] == f"/api/streams/{answer['stream_id']}/events"
    assert ID.fullmatch(answer["stream_id"])
    assert re.fullmatch(r"\d+-\d+", answer["cursor"])


async def test_the_location_tells_the_state_of_the_stream(client: Client) -> None:
    """What Location names exists, and has every member that the protocol promises."""
    answer = await client.post("s1", "hello", model="scripted/short")
    state = await client.get(answer["headers"]["Location"])
    assert state["http"] == 200
    promised = {"stream_id", "session_id", "status", "outcome", "model", "tokens", "duration_ms", "ttft_ms"}
    assert promised | {"upstream_closed"} <= set(state)
    assert "error" not in state


async def test_the_state_tells_how_far_the_stream_is(stage: Stage) -> None:
    """`thinking`, `streaming`, `ended`; the outcome is null until there is one, and stays long after."""
    stream_id = (await stage.client.post("s1", "hello"))["stream_id"]
    generation = await stage.opened()
    state = await stage.client.get(f"/api/streams/{stream_id}")
    assert (state["status"], state["outcome"], state["ttft_ms"]) == ("thinking", None, None)

    async with stage.client.events(f"/api/streams/{stream_id}/events") as events:
        generation.say("Hi")
        assert "token" in [event.name for event in await take(events, 4)]
        state = await stage.client.get(f"/api/streams/{stream_id}")
        assert (state["status"], state["outcome"], state["tokens"]) == ("streaming", None, 1)
        assert state["ttft_ms"] is not None
        generation.finish()
        assert [event.name async for event in events] == ["end"]

    state = await stage.client.get(f"/api/streams/{stream_id}")
    assert (state["status"], state["outcome"], state["upstream_closed"]) == ("ended", "complete", True)


async def test_the_cursor_is_the_id_just_before_the_first_event(stage: Stage) -> None:
    """Also of a stream that waits for its predecessors' ends: its `start` has the cursor's number plus one."""
    for number in range(1, 4):
        registered = await stage.client.post("s1", f"prompt {number}")
        await stage.opened(number)
        async with stage.client.events(registered["events_url"]) as events:
            start = await anext(events)
        assert (start.name, start.data["stream_id"]) == ("start", registered["stream_id"])
        assert start.seq == int(registered["cursor"].split("-")[1]) + 1


@pytest.mark.slow
async def test_a_stream_behind_a_predecessor_is_queued(tmp_path: Path) -> None:
    """`queued` is known from the answer and the state, and is never an event."""
    async with on_stage(tmp_path, stubborn=True, supersede_timeout=2.0) as stage:
        await stage.client.post("s1", "first")
        await stage.opened()
        second = await stage.client.post("s1", "second")
        assert second["status"] == "queued"
        assert (await stage.client.get(f"/api/streams/{second['stream_id']}"))["status"] == "queued"
        (await stage.opened(2)).finish()
        events = await stage.client.read_stream(second["stream_id"])
        statuses = [event.data["status"] for event in events if event.name == "status"]
        assert statuses == ["thinking"]


async def test_a_post_can_be_answered_with_the_events(client: Client) -> None:
    """`Accept: text/event-stream`: 201, Location, and the stream's events up to its `end`."""
    async with client.http.post(
        "/api/sessions/s1/streams",
        json={"prompt": "hello", "model": "scripted/short"},
        headers={"Accept": SSE},
    ) as response:
        assert (response.status, response.content_type) == (201, SSE)
        assert ID.fullmatch(response.headers["Location"].removeprefix("/api/streams/"))
        events = [event async for event in read_events(response)]
    assert [events[0].name, events[-1].name] == ["start", "end"]
    assert text_of(events) == "Hello! What would you like to know?"


@pytest.mark.parametrize("cancelling", [True, False])
async def test_a_dropped_post_cancels_nothing(tmp_path: Path, cancelling: bool) -> None:
    """Answered or not, what a POST registered runs to its end, whenever its connection was dropped."""
    async with on_stage(tmp_path, handler_cancellation=cancelling) as stage:
        body = b'{"prompt":"hello","model":"scripted/short"}'
        host, port = stage.live.url.removeprefix("http://").split(":")
        for number in range(20):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"POST /api/sessions/s%d/streams HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (number, host.encode(), len(body), body)
            )
            for _ in range(number):  # so that each drop hits the handler at another step
                await asyncio.sleep(0)
            writer.transport.abort()
        await stage.client.ask("last", "hello", model="scripted/short")
        await stage.settled()
        now = stage.registry.statistics()
        assert now.ended == {"complete": now.started}
        assert now.started > 1


async def test_a_reader_of_the_posts_events_that_leaves_is_a_viewer_that_left(
    tmp_path: Path, handler_cancellation: bool
) -> None:
    """The stream runs on, and its events can be read again."""
    async with on_stage(tmp_path, handler_cancellation=handler_cancellation) as stage:
        async with stage.http.post(
            "/api/sessions/s1/streams", json={"prompt": "hello"}, headers={"Accept": SSE}
        ) as response:
            start = await anext(read_events(response))
        generation = await stage.opened()
        generation.say("Still", " here")
        generation.finish()
        events = await stage.client.read_stream(start.data["stream_id"])
        assert text_of(events) == "Still here"
        assert events[-1].data["outcome"] == "complete"


async def test_the_model_reads_what_was_said_before(stage: Stage) -> None:
    """The second prompt of a session reaches the model behind the first exchange; that of another does not."""
    await stage.answer("s1", "first", "one")
    await stage.answer("s1", "second", "two")
    await stage.answer("s2", "third", "three")
    requests = [generation.request for generation in stage.puppet.generations]
    read = [[(message.role, message.content) for message in request.messages] for request in requests]
    assert read == [
        [("user", "first")],
        [("user", "first"), ("assistant", "one"), ("user", "second")],
        [("user", "third")],
    ]


async def test_options_reach_the_model(stage: Stage) -> None:
    """Sampling parameters and a system prompt go with the request."""
    options = {"temperature": 0.5, "max_tokens": 7, "seed": 1, "stop": ["."], "system": "Be brief."}
    await stage.client.post("s1", "hello", options=options)
    request = (await stage.opened()).request
    assert (request.options.temperature, request.options.max_tokens, request.options.seed) == (0.5, 7, 1)
    assert [message.role for message in request.messages] == ["system", "user"]
