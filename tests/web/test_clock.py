"""A clock that is set back: order, cursors and bounds do not depend on it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.sse import text_of
from tests.web.stage import Stage, on_stage

DAY = 86_400.0


class Clock:
    """The clock of a server, some days behind."""

    behind = 0.0  # days

    def __call__(self) -> float:
        return time.time() - self.behind * DAY


@pytest.fixture
def clock() -> Clock:
    """The clock of the stage."""
    return Clock()


@pytest.fixture
async def stage(tmp_path: Path, clock: Clock) -> AsyncIterator[Stage]:
    """A server with that clock, whose default model is a puppet."""
    async with on_stage(tmp_path, now=clock) as stage:
        yield stage


async def test_messages_and_events_stay_in_order(stage: Stage, clock: Clock) -> None:
    """Each prompt a day before the last one: messages follow each other as they were asked, events are numbered on."""
    ids = []
    for number in range(4):
        clock.behind = number
        ids.append(await stage.answer("s1", f"prompt {number}", f"answer {number}"))
    session = await stage.client.get("/api/sessions/s1")
    said = [message["content"] for message in session["messages"]]
    assert said == [f"{kind} {number}" for number in range(4) for kind in ("prompt", "answer")]
    times = [message["created_at"] for message in session["messages"]]
    assert times == sorted(times, reverse=True)
    events = [event for stream_id in ids for event in await stage.client.read_stream(stream_id)]
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    assert len({(event.id or "").partition("-")[0] for event in events}) == 1


async def test_a_new_log_is_told_from_an_old_one(stage: Stage, clock: Clock) -> None:
    """Its epoch is greater although the clock says otherwise: an old cursor does not fit it."""
    first = await stage.answer("s1", "hello", "Hi")
    old = (await stage.client.read_stream(first))[-1].id or ""
    await stage.client.delete("/api/sessions/s1")
    clock.behind = 1
    second = await stage.answer("s1", "again", "Ho")
    events = await stage.client.read_stream(second)
    assert int((events[0].id or "").partition("-")[0]) > int(old.partition("-")[0])
    async with stage.client.events("/api/sessions/s1/events", old) as shown:
        assert [(event.name, event.data["reason"]) async for event in shown] == [("reset", "epoch")]


async def test_a_restart_in_the_past_goes_on(tmp_path: Path, clock: Clock) -> None:
    """The session is as it was, its next prompt follows, and a cursor from the future is answered with a `reset`."""
    async with on_stage(tmp_path) as stage:
        cursor = (await stage.client.read_stream(await stage.answer("s1", "now", "Now")))[0].id
    clock.behind = 365
    async with on_stage(tmp_path, now=clock) as stage:
        async with stage.client.events("/api/sessions/s1/events", cursor) as shown:
            assert [event.data["reason"] async for event in shown] == ["epoch"]
        stream_id = await stage.answer("s1", "then", "Then")
        assert text_of(await stage.client.read_stream(stream_id)) == "Then"
        messages = (await stage.client.get("/api/sessions/s1"))["messages"]
        assert [message["content"] for message in messages] == ["now", "Now", "then", "Then"]
