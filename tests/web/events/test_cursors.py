"""Cursors and resets: every viewer sees every event once, from wherever it comes back, or is told that it cannot."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.sse import Event
from tests.support.waiting import until
from tests.web.stage import Stage, on_stage, take

EVENTS = "/api/sessions/s1/events"


async def only_event(stage: Stage, path: str, cursor: str) -> Event:
    """Read a response that consists of one event."""
    async with stage.client.events(path, cursor) as events:
        seen = [event async for event in events]
    assert len(seen) == 1, seen
    return seen[0]


def tokens(events: list[Event]) -> str:
    """The text of the tokens among events, from wherever they begin."""
    return "".join(event.data["text"] for event in events if event.name == "token")


async def test_every_cursor_goes_on_where_it_stands(stage: Stage) -> None:
    """From each id of an answer on, exactly what comes after it: also from between two merged tokens."""
    words = [f" word{number}" for number in range(12)]
    stream_id = await stage.answer("s1", "hello", *words)
    whole = await stage.client.read_stream(stream_id)
    epoch = (whole[0].id or "").split("-")[0]
    first_token = next(event for event in whole if event.name == "token")
    before_tokens = first_token.seq - first_token.data["count"]
    for seq in range(whole[-1].seq):
        rest = await stage.client.read_stream(stream_id, f"{epoch}-{seq}")
        assert tokens(rest) == "".join(words[max(seq - before_tokens, 0) :])
        assert [e for e in rest if e.name != "token"] == [
            e for e in whole if e.name != "token" and e.seq > seq
        ]


async def test_the_header_wins_over_the_query(stage: Stage) -> None:
    """An EventSource that reconnects sends both: its address, and the last id that it saw."""
    stream_id = await stage.answer("s1", "hello", "Hi")
    whole = await stage.client.read_stream(stream_id)
    path = f"/api/streams/{stream_id}/events?after={whole[0].id}"
    async with stage.client.events(path) as events:
        assert [event async for event in events] == whole[1:]
    async with stage.client.events(path, whole[-2].id) as events:
        assert [event async for event in events] == whole[-1:]


@pytest.mark.parametrize(
    "cursor", ["yesterday", "1-2-3", "-1", "1-1", "99999999999999-1", "9" * 40 + "-1", "é"]
)
async def test_a_cursor_of_no_log_is_answered_in_the_stream(stage: Stage, cursor: str) -> None:
    """200 and one `reset` of reason `epoch`, for an EventSource cannot read an error; both kinds of streams."""
    stream_id = await stage.answer("s1", "hello", "Hi")
    for path in (EVENTS, f"/api/streams/{stream_id}/events"):
        reset = await only_event(stage, path, cursor)
        assert (reset.name, reset.had_id) == ("reset", False)
        assert reset.data == {"reason": "epoch", "snapshot_url": "/api/sessions/s1"}


async def test_a_cursor_ahead_of_the_log_is_answered_in_the_stream(stage: Stage) -> None:
    """A number that was never given out cannot be served."""
    await stage.answer("s1", "hello", "Hi")
    log = stage.registry.session("s1").log
    assert (await only_event(stage, EVENTS, f"{log.epoch}-{log.head + 1}")).data["reason"] == "epoch"


async def test_a_cursor_whose_events_fell_out_is_expired(tmp_path: Path) -> None:
    """The log is bounded by bytes; from an older cursor on, the events cannot be served any more."""
    async with on_stage(tmp_path, log_bytes=2048) as stage:
        first = await stage.answer("s1", "hello", "Hi")
        old = (await stage.client.read_stream(first))[0].id or ""
        for number in range(5):
            await stage.answer("s1", f"prompt {number}", "x" * 1000)
        reset = await only_event(stage, EVENTS, old)
        assert reset.data == {"reason": "expired", "snapshot_url": "/api/sessions/s1"}
        async with stage.client.events(f"/api/streams/{first}/events") as events:
            assert [(e.name, e.data["reason"]) async for e in events] == [("reset", "expired")]
        assert (await stage.client.get(f"/api/streams/{first}"))["outcome"] == "complete"


async def test_a_snapshot_and_its_cursor_are_of_one_moment(stage: Stage) -> None:
    """Its text and the events from its cursor on make the whole answer, whenever it was taken."""
    words = [f" word{number}" for number in range(60)]
    registered = await stage.client.post("s1", "hello")
    generation = await stage.opened()

    async def speak() -> None:
        for word in words:
            generation.say(word)
            await asyncio.sleep(0.001)
        generation.finish()

    async def look_and_follow() -> str:
        snapshot = await stage.client.get("/api/sessions/s1")
        so_far = snapshot["messages"][1]["content"]
        path = f"{registered['events_url']}?after={snapshot['cursor']}"
        async with stage.http.get(path) as response:
            if response.status == 204:
                return str(so_far)
        rest = await stage.client.read_stream(registered["stream_id"], snapshot["cursor"])
        return str(so_far) + tokens(rest)

    speaking = asyncio.create_task(speak())
    looks = [asyncio.create_task(look_and_follow())]
    while not speaking.done():
        await asyncio.sleep(0.005)
        looks.append(asyncio.create_task(look_and_follow()))
    await speaking
    assert set(await asyncio.gather(*looks)) == {"".join(words)}
    assert len(looks) > 3


async def test_a_viewer_that_comes_back_misses_nothing(stage: Stage) -> None:
    """It leaves in the middle of an answer, and its last id brings it back to the next event."""
    registered = await stage.client.post("s1", "hello")
    generation = await stage.opened()
    generation.say("One")
    async with stage.client.events(EVENTS) as events:
        seen = await take(events, 4)
    await until(lambda: stage.registry.statistics().viewers == 0)
    generation.say(" two")
    generation.say(" three")
    generation.finish()
    seen += await stage.client.read_stream(registered["stream_id"], seen[-1].id)
    assert tokens(seen) == "One two three"
    assert [event.name for event in seen].count("start") == 1


async def test_a_deleted_session_does_not_give_its_numbers_away(stage: Stage) -> None:
    """A new session of the same name has another epoch: an old cursor does not fit its log."""
    first = await stage.answer("s1", "hello", "Hi")
    old = (await stage.client.read_stream(first))[-1].id or ""
    await stage.client.delete("/api/sessions/s1")
    await stage.answer("s1", "again", "Hi")
    assert (await only_event(stage, EVENTS, old)).data["reason"] == "epoch"
