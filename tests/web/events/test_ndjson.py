"""`Accept: application/x-ndjson` on the POST: the same events, one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.web.stage import NDJSON, Stage, on_stage

STREAMS = "/api/sessions/s1/streams"
HEADERS = {"Accept": NDJSON}


async def test_the_lines_are_the_events(stage: Stage) -> None:
    """Each line has the event's name as `type` and the members of its data, in the order of the events."""
    async with stage.http.post(STREAMS, json={"prompt": "hello"}, headers=HEADERS) as response:
        assert (response.status, response.content_type) == (201, NDJSON)
        stream_id = response.headers["Location"].removeprefix("/api/streams/")
        generation = await stage.opened()
        generation.say("One\n", ' "two"')
        generation.finish()
        lines = [json.loads(line) async for line in response.content]
    events = await stage.client.read_stream(stream_id)
    assert [{"type": event.name, **event.data} for event in events] == merged(lines)
    assert (lines[0]["type"], lines[-1]["type"]) == ("start", "end")


def merged(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    """Join neighbouring tokens, as a replay does."""
    joined: list[dict[str, object]] = []
    for line in lines:
        if line["type"] == "token" and joined and joined[-1]["type"] == "token":
            last = joined.pop()
            line = {**last, "count": last["count"] + line["count"], "text": last["text"] + line["text"]}  # type: ignore[operator]
        joined.append(line)
    return joined


async def test_a_line_comes_with_its_token(stage: Stage) -> None:
    """The first lines come before the model has said anything, and each token at once."""
    async with stage.http.post(STREAMS, json={"prompt": "hello"}, headers=HEADERS) as response:
        first = [json.loads(await response.content.readline())["type"] for _ in range(2)]
        assert first == ["start", "status"]
        (await stage.opened()).say("Hi")
        assert json.loads(await response.content.readline())["status"] == "streaming"
        line = json.loads(await response.content.readline())
        assert (line["type"], line["text"], line["position"], line["count"]) == ("token", "Hi", 0, 1)


async def test_a_reader_that_hangs_up_is_a_viewer_that_left(
    tmp_path: Path, handler_cancellation: bool
) -> None:
    """No more than that: the stream runs to its end."""
    async with on_stage(tmp_path, handler_cancellation=handler_cancellation) as stage:
        async with stage.http.post(STREAMS, json={"prompt": "hello"}, headers=HEADERS) as response:
            stream_id = json.loads(await response.content.readline())["stream_id"]
        generation = await stage.opened()
        generation.say("Still here")
        generation.finish()
        assert (await stage.client.read_stream(stream_id))[-1].data["outcome"] == "complete"


async def test_a_refusal_is_a_problem_not_a_line(stage: Stage) -> None:
    """What was not registered has no events."""
    async with stage.http.post(STREAMS, json={"prompt": " "}, headers=HEADERS) as response:
        assert (response.status, response.content_type) == (422, "application/problem+json")
