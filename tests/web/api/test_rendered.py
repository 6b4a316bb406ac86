"""`?render=html`: the blocks of answers over the API, live, after a reconnection, and in snapshots."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from app.web.blocks.renderer import SMALL
from tests.markdown.corpus import ANSWERS
from tests.support.sse import Event
from tests.web.stage import NDJSON, SSE, Stage, problem, take, until_event

RENDER = "?render=html"
WHOLE = "/api/sessions/s1" + RENDER
SESSION = "/api/sessions/s1/events" + RENDER
TEXT = "# Title\n\nOne [link].\n\n- a\n- b\n\n```python\nx = 1\n```\n\n[link]: https://example.org\n"
LARGE = "| a | b |\n|---|---|\n" + "| cell | *cell* |\n" * SMALL + "\nThe end.\n"


def pieces(text: str) -> list[str]:
    """Cut a text as a model would."""
    return [text[start : start + 7] for start in range(0, len(text), 7)]


def blocks_in(events: Iterable[Event]) -> list[str]:
    """Return the HTML of each block; one that comes again replaces the earlier one."""
    found: dict[int, str] = {}
    for event in events:
        if event.name == "block":
            found[event.data["index"]] = event.data["html"]
    assert list(found) == sorted(found) == list(range(len(found)))
    return list(found.values())


def text_in(events: Iterable[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.name == "token")


async def stored(stage: Stage) -> dict[str, Any]:
    """Return the newest answer of the snapshot, rendered."""
    answer: dict[str, Any] = (await stage.client.get(WHOLE))["messages"][-1]
    return answer


@pytest.mark.parametrize("name", ANSWERS)
async def test_the_blocks_of_a_stream_are_those_of_the_snapshot(stage: Stage, name: str) -> None:
    """And its text is what it is without them."""
    registered = await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with stage.client.events(registered["events_url"] + RENDER) as events:
        seen = await take(events, 2)
        for piece in pieces(ANSWERS[name]):
            generation.say(piece)
        generation.finish()
        seen += [event async for event in events]  # the response ends by itself
    answer = await stored(stage)
    assert blocks_in(seen) == answer["blocks"] != []
    assert text_in(seen) == answer["content"] == ANSWERS[name]
    assert [event.name for event in seen].count("end") == 1


async def test_a_session_has_the_blocks_of_each_answer(stage: Stage) -> None:
    """One after the other, each with its own numbers."""
    await stage.answer("s1", "one", "first\n\n", "second")
    async with stage.client.events(SESSION) as events:
        await stage.answer("s1", "two", "third\n\n", "fourth")
        seen = await until_event(events, "end")
    assert blocks_in(seen) == ["<p>third</p>", "<p>fourth</p>"]
    assert not any(event.had_id for event in seen if event.name == "block")


@pytest.mark.slow
async def test_a_post_answers_with_blocks(stage: Stage) -> None:
    """As SSE or as NDJSON, with the same fields."""
    found = {}
    for accept in (SSE, NDJSON):
        async with stage.http.post(
            f"/api/sessions/{'lines' if accept == NDJSON else 's'}/streams{RENDER}",
            json={"prompt": "hello", "model": "scripted/short"},
            headers={"Accept": accept},
        ) as response:
            assert response.status == 201
            assert response.content_type == accept
            lines = (await response.text()).splitlines()
        if accept == SSE:
            data = [line.removeprefix("data: ") for line in lines if '"html"' in line]
            blocks = [json.loads(each) for each in data]
        else:
            blocks = [each for each in map(json.loads, lines) if each.pop("type") == "block"]
        assert blocks
        found[accept] = [sorted(block) for block in blocks]
        assert blocks[0]["html"].startswith("<")
    assert found[SSE] == found[NDJSON]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
async def test_what_was_missed_comes_after_a_reconnection(stage: Stage, share: float) -> None:
    """From any cursor: blocks that come again are the same, and none is missing."""
    registered = await stage.client.post("s1", "hello")
    generation = await stage.opened()
    said = pieces(TEXT)
    before, after = said[: int(len(said) * share)], said[int(len(said) * share) :]
    async with stage.client.events(registered["events_url"] + RENDER) as events:
        for piece in before:
            generation.say(piece)
        seen = await until_event(events, "token", len(before))
    for piece in after:
        generation.say(piece)
    async with stage.client.events(registered["events_url"] + RENDER, seen[-1].id) as events:
        generation.finish()
        seen += [event async for event in events]
    assert text_in(seen) == TEXT
    assert blocks_in(seen) == (await stored(stage))["blocks"]


@pytest.mark.parametrize("path", ["stream", "session"])
async def test_an_answer_that_has_ended_is_rendered_again(stage: Stage, path: str) -> None:
    """Nobody saw it, so its blocks are made from the log."""
    registered = await stage.client.post("s1", "hello")
    (generation := await stage.opened()).say(TEXT)
    generation.finish()
    await stage.client.read_stream(registered["stream_id"])
    if path == "stream":
        async with stage.client.events(registered["events_url"] + RENDER) as events:
            seen = [event async for event in events]
    else:
        async with stage.client.events(f"{SESSION}&cursor={registered['cursor']}") as events:
            seen = await until_event(events, "end")
    assert [event.name for event in seen if event.name == "reset"] == []
    assert blocks_in(seen) == (await stored(stage))["blocks"]


async def test_a_block_that_takes_long_is_waited_for(stage: Stage) -> None:
    """It is rendered beside the loop, so it comes after the `end`; the response stays open for it."""
    registered = await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with stage.client.events(registered["events_url"] + RENDER) as events:
        seen = await take(events, 2)
        generation.say(LARGE)
        generation.finish()
        seen += [event async for event in events]
    assert blocks_in(seen) == (await stored(stage))["blocks"]
    assert len(blocks_in(seen)) >= 2


async def test_a_snapshot_of_a_running_answer_goes_on_from_its_cursor(stage: Stage) -> None:
    """Its blocks, its tail, and the blocks that follow make the answer."""
    registered = await stage.client.post("s1", "hello")
    generation = await stage.opened()
    async with stage.client.events(registered["events_url"]) as events:
        generation.say("one\n\ntwo\n\nthr")
        await until_event(events, "token")
        snapshot = await stage.client.get(WHOLE)
        running = snapshot["messages"][-1]
        async with stage.client.events(f"{SESSION}&cursor={snapshot['cursor']}") as later:
            generation.say("ee\n\nfour")
            generation.finish()
            seen = await until_event(later, "end")
    assert running["tail"].strip() == "thr"
    found = dict(enumerate(running["blocks"]))
    found |= {event.data["index"]: event.data["html"] for event in seen if event.name == "block"}
    assert list(found.values()) == (await stored(stage))["blocks"]


async def test_a_session_that_does_not_exist_yet(stage: Stage) -> None:
    """Its first answer comes with blocks, too."""
    async with stage.client.events(SESSION) as events:
        await stage.answer("s1", "hello", "one\n\n", "two")
        seen = await until_event(events, "end")
    assert blocks_in(seen) == ["<p>one</p>", "<p>two</p>"]


@pytest.mark.parametrize("value", ["", "text", "HTML", "markdown"])
async def test_nothing_else_can_be_asked_for(stage: Stage, value: str) -> None:
    """A 422, and no stream is registered."""
    async with stage.http.post(f"/api/sessions/s1/streams?render={value}", json={"prompt": "hi"}) as response:
        found = await problem(response, 422, "invalid_query")
    assert "`html`" in found["detail"]
    assert stage.puppet.generations == []
    await stage.answer("s1", "hello", "hi")
    for path in ("/api/sessions/s1", "/api/sessions/s1/events"):
        async with stage.http.get(f"{path}?render={value}") as response:
            await problem(response, 422, "invalid_query")
