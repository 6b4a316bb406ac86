"""The header `Idempotency-Key`: a POST that is sent again registers nothing again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.sse import read_events
from tests.web.stage import SSE, Stage, problem


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    """The body of an answer, without what tells how far the stream is by now."""
    return {name: value for name, value in answer.items() if name not in ("http", "headers", "status")}


async def test_a_repeated_key_is_answered_with_the_same_body(stage: Stage) -> None:
    """200 instead of 201, the same Location, and the model is asked once."""
    first = await stage.client.post("s1", "hello", key="k1")
    second = await stage.client.post("s1", "hello", key="k1")
    assert (first["http"], second["http"]) == (201, 200)
    assert shown(first) == shown(second)
    assert first["headers"]["Location"] == second["headers"]["Location"]
    assert stage.registry.statistics().started == 1


async def test_a_key_is_known_after_the_end(stage: Stage) -> None:
    """It names the same stream, whose events can still be read, instead of asking the model again."""
    first = await stage.client.post("s1", "hello", key="k1")
    (await stage.opened()).finish()
    events = await stage.client.read_stream(first["stream_id"])
    second = await stage.client.post("s1", "hello", key="k1")
    assert (second["http"], second["status"]) == (200, "ended")
    assert await stage.client.read_stream(second["stream_id"], second["cursor"]) == events


async def test_simultaneous_posts_with_one_key_register_one_stream(stage: Stage) -> None:
    """One of them is answered 201, the others 200, all with one id."""
    answers = await asyncio.gather(*(stage.client.post("s1", "hello", key="k1") for _ in range(10)))
    assert sorted(answer["http"] for answer in answers) == [200] * 9 + [201]
    assert len({answer["stream_id"] for answer in answers}) == 1


async def test_a_key_with_another_request_is_refused(stage: Stage) -> None:
    """422 `idempotency_key_reused`, whatever differs; what runs is not touched."""
    first = await stage.client.post("s1", "hello", key="k1")
    for other in ({"prompt": "bye"}, {"options": {"seed": 1}}, {"if_active": "enqueue"}):
        async with stage.http.post(
            "/api/sessions/s1/streams", json={"prompt": "hello", **other}, headers={"Idempotency-Key": "k1"}
        ) as response:
            await problem(response, 422, "idempotency_key_reused")
    assert (await stage.client.get(f"/api/streams/{first['stream_id']}"))["outcome"] is None


async def test_a_key_belongs_to_its_session(stage: Stage) -> None:
    """The same key in another session stands for another request."""
    first = await stage.client.post("s1", "hello", key="k1")
    second = await stage.client.post("s2", "hello", key="k1")
    assert second["http"] == 201
    assert first["stream_id"] != second["stream_id"]


async def test_the_key_of_a_refused_post_is_free_again(stage: Stage) -> None:
    """A POST that was answered 409 can be sent again once the session is free."""
    await stage.client.post("s1", "first")
    refused = await stage.client.post("s1", "second", key="k1", if_active="reject")
    assert (refused["http"], refused["code"]) == (409, "session_busy")
    await stage.client.delete("/api/sessions/s1/stream")
    assert (await stage.client.post("s1", "second", key="k1", if_active="reject"))["http"] == 201


async def test_a_repeated_post_of_events_shows_the_same_stream(client: Client) -> None:
    """A reader whose POST was cut off sends it again, and reads the same answer from its start."""
    body = {"prompt": "hello", "model": "scripted/short"}
    headers = {"Accept": SSE, "Idempotency-Key": "k1"}
    async with client.http.post("/api/sessions/s1/streams", json=body, headers=headers) as response:
        start = await anext(read_events(response))
    async with client.http.post("/api/sessions/s1/streams", json=body, headers=headers) as response:
        assert response.status == 200
        events = [event async for event in read_events(response)]
    assert events[0] == start
    assert events[-1].name == "end"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "caf\u00e9"])
async def test_a_key_is_printable_ascii(client: Client, key: str) -> None:
    """Anything else is refused before anything is registered."""
    async with client.http.post(
        "/api/sessions/s1/streams", json={"prompt": "hello"}, headers={"Idempotency-Key": key}
    ) as response:
        await problem(response, 422, "invalid_idempotency_key")
    assert (await client.get("/api/sessions/s1"))["http"] == 404
