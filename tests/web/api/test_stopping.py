"""The two DELETEs that stop a stream."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from app.chat.errors import HistoryUnavailable
from tests.support.client import Client
from tests.support.sse import text_of
from tests.web.stage import Stage, on_stage, problem


async def test_a_stop_closes_the_upstream(stage: Stage) -> None:
    """200 with the outcome, that the connection is closed, and how long it took; by then `end` is in the log."""
    stream_id = (await stage.client.post("s1", "hello"))["stream_id"]
    generation = await stage.opened()
    answer = await stage.client.stop(stream_id)
    assert generation.aborted.is_set()
    assert set(answer) == {"http", "outcome", "upstream_closed", "waited_ms"}
    assert (answer["http"], answer["outcome"], answer["upstream_closed"]) == (200, "stopped", True)
    assert 0 <= answer["waited_ms"] < 2000
    assert (await stage.client.get(f"/api/streams/{stream_id}"))["outcome"] == "stopped"


async def test_a_stop_keeps_what_came(stage: Stage) -> None:
    """The answer so far stays, with its outcome, in the events and in the session."""
    stream_id = (await stage.client.post("s1", "hello"))["stream_id"]
    async with stage.client.events(f"/api/streams/{stream_id}/events") as events:
        (await stage.opened()).say("Half", " an")
        seen = []
        async for event in events:
            seen.append(event)
            if event.name == "token":
                await stage.client.stop(stream_id)
    assert text_of(seen) == "Half an"
    assert seen[-1].data["outcome"] == "stopped"
    answer = (await stage.client.get("/api/sessions/s1"))["messages"][1]
    assert (answer["content"], answer["outcome"]) == ("Half an", "stopped")


async def test_a_second_stop_is_answered_like_the_first(stage: Stage) -> None:
    """Stopping again is harmless, and tells the same outcome."""
    stream_id = (await stage.client.post("s1", "hello"))["stream_id"]
    first, second = await stage.client.stop(stream_id), await stage.client.stop(stream_id)
    assert (first["outcome"], second["outcome"], second["http"]) == ("stopped", "stopped", 200)


async def test_a_stop_that_comes_too_late_tells_how_it_ended(stage: Stage) -> None:
    """A stream that has ended by itself stays `complete`."""
    stream_id = await stage.answer("s1", "hello", "Hi")
    answer = await stage.client.stop(stream_id)
    assert (answer["http"], answer["outcome"], answer["upstream_closed"]) == (200, "complete", True)


@pytest.mark.parametrize("way", ["the API", "the page's form"])
async def test_a_stop_needs_no_history(stage: Stage, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """While its database is away, what runs is stopped all the same."""

    async def away(*_: object) -> None:
        raise HistoryUnavailable("The database is away.")

    await stage.client.post("s1", "hello")
    generation = await stage.opened()
    monkeypatch.setattr(stage.registry.history, "session", away)
    if way == "the API":
        stopped = await stage.client.delete("/api/sessions/s1/stream")
        assert (stopped["http"], stopped["outcome"], stopped["upstream_closed"]) == (200, "stopped", True)
        assert (await stage.client.delete("/api/sessions/s1/stream"))["code"] == "history_unavailable"
    else:
        async with stage.http.post("/sessions/s1/stop", allow_redirects=False) as response:
            assert response.status == 303
    assert generation.aborted.is_set()


async def test_a_stop_stops_no_other(stage: Stage) -> None:
    """A late stop of the older stream does not touch the newer one, nor another session's."""
    first = (await stage.client.post("s1", "first"))["stream_id"]
    await stage.opened(1)
    second = (await stage.client.post("s1", "second"))["stream_id"]
    other = (await stage.client.post("s2", "other"))["stream_id"]
    await stage.opened(3)
    assert (await stage.client.stop(first))["outcome"] == "superseded"
    for stream_id in (second, other):
        assert (await stage.client.get(f"/api/streams/{stream_id}"))["outcome"] is None


async def test_a_queued_stream_can_be_stopped(stage: Stage) -> None:
    """It ends in its turn without having reached the model, and what runs before it goes on."""
    first = (await stage.client.post("s1", "first"))["stream_id"]
    generation = await stage.opened()
    second = (await stage.client.post("s1", "second", if_active="enqueue"))["stream_id"]
    assert (await stage.client.stop(second, wait=0))["outcome"] is None
    assert not generation.aborted.is_set()
    generation.finish()
    assert (await stage.client.read_stream(first))[-1].data["outcome"] == "complete"
    assert [e.name for e in await stage.client.read_stream(second)] == ["start", "end"]
    assert len(stage.puppet.generations) == 1


async def test_a_stop_that_did_not_happen_is_not_reported(tmp_path: Path) -> None:
    """Past the bound the stream ends, and says that its upstream is still open."""
    async with on_stage(tmp_path, stubborn=True, supersede_timeout=0.2) as stage:
        stream_id = (await stage.client.post("s1", "hello"))["stream_id"]
        await stage.opened()
        answer = await stage.client.stop(stream_id)
        assert (answer["outcome"], answer["upstream_closed"]) == ("stopped", False)
        assert (await stage.client.read_stream(stream_id))[-1].data["upstream_closed"] is False


@pytest.mark.slow
async def test_a_stop_waits_no_longer_than_asked(tmp_path: Path) -> None:
    """`?wait=` bounds the wait; without an end there is no outcome, and nothing is called closed."""
    async with on_stage(tmp_path, stubborn=True, supersede_timeout=20.0) as stage:
        stream_id = (await stage.client.post("s1", "hello"))["stream_id"]
        await stage.opened()
        began = time.monotonic()
        answer = await stage.client.stop(stream_id, wait=0.05)
        took_ms = (time.monotonic() - began) * 1000
        assert (answer["http"], answer["outcome"], answer["upstream_closed"]) == (200, None, False)
        assert 50 <= answer["waited_ms"] <= took_ms + 1  # what it says is what it did
        assert took_ms < 10_000


@pytest.mark.parametrize("wait", ["-1", "5.1", "soon", "nan", "inf", ""])
async def test_a_wait_is_a_number_from_0_to_5(stage: Stage, wait: str) -> None:
    """422 for anything else, and nothing is stopped."""
    stream_id = (await stage.client.post("s1", "hello"))["stream_id"]
    for path in (f"/api/streams/{stream_id}?wait={wait}", f"/api/sessions/s1/stream?wait={wait}"):
        async with stage.http.delete(path) as response:
            await problem(response, 422, "invalid_query")
    assert (await stage.client.get(f"/api/streams/{stream_id}"))["outcome"] is None


async def test_whatever_runs_in_a_session_can_be_stopped(stage: Stage) -> None:
    """The running stream and those behind it; the answer tells of the one that ran."""
    ids = [(await stage.client.post("s1", "x", if_active="enqueue"))["stream_id"] for _ in range(3)]
    await stage.opened()
    answer = await stage.client.delete("/api/sessions/s1/stream")
    assert (answer["http"], answer["outcome"], answer["upstream_closed"]) == (200, "stopped", True)
    for stream_id in ids:
        assert (await stage.client.get(f"/api/streams/{stream_id}"))["outcome"] == "stopped"


async def test_a_session_in_which_nothing_runs_answers_204(stage: Stage) -> None:
    """Also where a stream has just ended."""
    await stage.answer("s1", "hello", "Hi")
    assert (await stage.client.delete("/api/sessions/s1/stream"))["http"] == 204


async def test_a_stop_of_what_is_not_there_answers_404(client: Client) -> None:
    """An unknown stream, an unknown session."""
    async with client.http.delete("/api/streams/nobody") as response:
        await problem(response, 404, "stream_not_found")
    async with client.http.delete("/api/sessions/nobody/stream") as response:
        await problem(response, 404, "session_not_found")
