"""`GET /api/streams/{stream_id}/events`: what is sent, event by event and byte by byte."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

from tests.support.client import Client
from tests.support.sse import Event, text_of
from tests.web.stage import SSE, Stage, on_stage, problem, take, until_event


def tokens_as_events(events: list[Event]) -> list[int]:
    """How many events of the log each event stands for: neighbouring tokens may be merged."""
    return [event.data.get("count", 1) for event in events]


async def test_the_order_of_an_answer(stage: Stage) -> None:
    """`start`, `thinking`, `streaming`, the tokens, `end`; the response is closed behind it."""
    stream_id = await stage.answer("s1", "hello", "Hi", " there")
    events = await stage.client.read_stream(stream_id)
    names = [event.name for event in events]
    assert names[:3] == ["start", "status", "status"]
    assert [event.data["status"] for event in events[1:3]] == ["thinking", "streaming"]
    assert set(names[3:-1]) == {"token"}
    assert names[-1] == "end"
    assert text_of(events) == "Hi there"


async def test_every_event_names_its_stream_and_has_an_id(stage: Stage) -> None:
    """Ids are `<epoch>-<seq>`; seq grows by one per event, merged tokens having the id of the last."""
    stream_id = await stage.answer("s1", "hello", "Hi", " there", "!")
    events = await stage.client.read_stream(stream_id)
    assert all(event.had_id and re.fullmatch(r"\d+-\d+", event.id or "") for event in events)
    assert len({(event.id or "").split("-")[0] for event in events}) == 1
    assert all(event.data["stream_id"] == stream_id for event in events)
    for (before, after), count in zip(pairwise(events), tokens_as_events(events)[1:], strict=True):
        assert after.seq == before.seq + count


async def test_live_tokens_come_one_by_one(stage: Stage) -> None:
    """A token leaves when it comes: each is an event of its own, with its position."""
    stream_id = (await stage.client.post("s1", "hello"))["stream_id"]
    generation = await stage.opened()
    async with stage.client.events(f"/api/streams/{stream_id}/events") as events:
        await take(events, 2)
        for position, word in enumerate(["The", " river", " turns"]):
            generation.say(word)
            if position == 0:
                assert (await anext(events)).data["status"] == "streaming"
            event = await anext(events)
            expected = {"stream_id": stream_id, "position": position, "count": 1, "text": word}
            assert (event.name, event.data) == ("token", expected)


async def test_the_members_of_start(stage: Stage) -> None:
    """The model, the answer's message, and the prompt with its message, for other tabs to draw."""
    stream_id = await stage.answer("s1", "hello", "Hi")
    start = (await stage.client.read_stream(stream_id))[0].data
    prompt, answer = (await stage.client.get("/api/sessions/s1"))["messages"]
    assert start == {
        "stream_id": stream_id,
        "message_id": answer["message_id"],
        "model": "puppet/puppet",
        "prompt": {"message_id": prompt["message_id"], "text": "hello"},
        "parent_id": None,
        "continues": False,
    }


async def test_the_members_of_end(stage: Stage) -> None:
    """All that is promised, in agreement with the stream's state; no `error` where none was."""
    stream_id = await stage.answer("s1", "hello", "Hi", " there")
    end = (await stage.client.read_stream(stream_id))[-1].data
    state = await stage.client.get(f"/api/streams/{stream_id}")
    promised = {
        "stream_id",
        "outcome",
        "finish_reason",
        "tokens",
        "duration_ms",
        "ttft_ms",
        "upstream_closed",
    }
    assert set(end) == promised | {"message_id", "thought_ms", "completion_tokens", "tokens_per_second"}
    assert {name: state[name] for name in end} == end
    assert (end["outcome"], end["finish_reason"], end["tokens"]) == ("complete", "stop", 2)
    assert 0 <= end["ttft_ms"] <= end["duration_ms"]


async def test_a_failure_ends_with_a_code_and_a_sentence(client: Client) -> None:
    """`end` carries the error, what came before it is kept, and no event is called `error`."""
    events = await client.ask("s1", "hello", model="scripted/error-middle")
    end = events[-1].data
    assert end["outcome"] == "failed"
    assert set(end["error"]) == {"code", "message"}
    assert end["error"]["code"] == "upstream_rejected"
    assert text_of(events) == "It begins well, and then"
    assert "error" not in {event.name for event in events}
    state = await client.get(f"/api/streams/{end['stream_id']}")
    assert state["error"] == end["error"]
    assert (await client.get("/api/sessions/s1"))["messages"][1]["error"] == end["error"]


async def test_reasoning_has_events_of_its_own(client: Client) -> None:
    """The model's thinking comes as `reasoning`, counted from 0 by itself, and is no part of the answer."""
    events = await client.ask("s1", "hello", model="scripted/reasoning")
    thought = "The user asks. I think about it, then I answer."
    assert text_of(events, "reasoning") == thought
    assert text_of(events) == "It is forty-two."
    answer = (await client.get("/api/sessions/s1"))["messages"][1]
    assert (answer["content"], answer["reasoning"]) == ("It is forty-two.", thought)


async def test_the_first_bytes(stage: Stage) -> None:
    """`retry: 2000` and a comment come at once, before the model has said anything."""
    registered = await stage.client.post("s1", "hello")
    async with stage.http.get(registered["events_url"]) as response:
        assert (response.status, response.content_type) == (200, SSE)
        first = await response.content.readuntil(b"\n\n")
    assert re.fullmatch(rb"retry: 2000\n:[^\n]*\n\n", first)


async def test_no_text_can_break_a_frame(stage: Stage) -> None:
    """Line ends of all kinds, NUL and separators arrive as they were, each event being one line of data."""
    nasty = "a\r\nb\rc\n\nd\0e\u2028f\u2029g\x85h: i\nevent: end\ndata: {}\n\n\ud7ff\U0001f30a"
    registered = await stage.client.post("s1", nasty)
    generation = await stage.opened()
    generation.say(nasty)
    generation.finish()
    await stage.settled()
    async with stage.http.get(registered["events_url"]) as response:
        raw = (await response.read()).decode()
    assert "\r" not in raw
    assert "\0" not in raw
    frames = [frame.split("\n") for frame in raw.split("\n\n")[1:-1]]
    assert all([line.split(":")[0] for line in frame] == ["id", "event", "data"] for frame in frames)
    data = {frame[1].removeprefix("event: "): json.loads(frame[2].removeprefix("data: ")) for frame in frames}
    assert data["start"]["prompt"]["text"] == nasty
    assert data["token"]["text"] == nasty
    assert data["end"]["outcome"] == "complete"


async def test_all_viewers_see_the_same(stage: Stage) -> None:
    """Whether they came before the first token, in the middle or after the end."""
    registered = await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with (
        stage.client.events(registered["events_url"]) as early,
        stage.client.events("/api/sessions/s1/events") as whole,
    ):
        seen = await take(early, 2)
        generation.say("One", " two")
        seen += await take(early, 1)
        async with stage.client.events(registered["events_url"]) as late:
            generation.say(" three")
            generation.finish()
            seen += [event async for event in early]
            seen_late = [event async for event in late]
        seen_whole = await until_event(whole, "end")
    replayed = await stage.client.read_stream(registered["stream_id"])
    for events in (seen_late, seen_whole, replayed):
        assert text_of(events) == text_of(seen) == "One two three"
        assert [e for e in events if e.name != "token"] == [e for e in seen if e.name != "token"]


async def test_a_cursor_at_the_end_is_answered_204(stage: Stage) -> None:
    """So that an EventSource does not come back."""
    stream_id = await stage.answer("s1", "hello", "Hi")
    end = (await stage.client.read_stream(stream_id))[-1]
    path = f"/api/streams/{stream_id}/events"
    async with stage.http.get(path, headers={"Last-Event-ID": end.id or ""}) as response:
        assert (response.status, await response.read()) == (204, b"")
    assert (await stage.client.get(f"{path}?after={end.id}"))["http"] == 204


async def test_a_cursor_behind_the_end_is_answered_204(stage: Stage) -> None:
    """What happened in the session since is not of this stream."""
    stream_id = await stage.answer("s1", "hello", "Hi")
    other = await stage.answer("s1", "more", "Yes")
    last = (await stage.client.read_stream(other))[-1].id
    assert (await stage.client.get(f"/api/streams/{stream_id}/events?after={last}"))["http"] == 204


async def test_the_answer_is_cut_at_its_limit(tmp_path: Path) -> None:
    """A model that never ends is ended: `complete` with the finish reason `length`."""
    async with on_stage(tmp_path, max_answer_bytes=1024) as stage:
        registered = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        for _ in range(3):
            generation.say("x" * 600)
        end = (await stage.client.read_stream(registered["stream_id"]))[-1].data
        assert (end["outcome"], end["finish_reason"], end["tokens"]) == ("complete", "length", 2)
        assert generation.aborted.is_set()


async def test_an_unknown_stream_has_no_events(client: Client) -> None:
    """404, as a problem."""
    for path in ("/api/streams/nobody", "/api/streams/nobody/events"):
        async with client.http.get(path) as response:
            await problem(response, 404, "stream_not_found")
