"""The five functional tests of the streaming stability report: baseline, stop, rapid, stress, isolation.

Each runs over a real socket against an Ollama that counts, and against the embedded real model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.functional.chains import MODEL_BOUND, Chain
from tests.functional.loglines import LogFile
from tests.support.sse import Event, text_of
from tests.support.waiting import until_told
from tests.web.stage import until_event

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIFE = ("stream_start", "stream_cancelled", "stream_end")


async def none_generating(chain: Chain) -> None:
    """Return once the model server counts nothing open; bounded."""

    async def is_idle() -> bool:
        return not await chain.generating()

    await until_told(is_idle, within=MODEL_BOUND)


async def read(chain: Chain, stream_id: str) -> list[Event]:
    """All events of a stream; bounded."""
    async with asyncio.timeout(MODEL_BOUND):
        return await chain.client.read_stream(stream_id)


async def first_token(chain: Chain, stream_id: str) -> None:
    """Return once the model has begun to answer; bounded."""
    async with (
        asyncio.timeout(MODEL_BOUND),
        chain.client.events(f"/api/streams/{stream_id}/events") as events,
    ):
        await until_event(events, "token")


@asynccontextmanager
async def counting(chain: Chain) -> AsyncIterator[list[int]]:
    """Ask the model server again and again how many generations are open."""
    counts: list[int] = []

    async def count() -> None:
        while True:
            counts.append(await chain.generating())
            await asyncio.sleep(0.005)

    task = asyncio.create_task(count())
    try:
        yield counts
    finally:
        task.cancel()
        await asyncio.wait({task})


def starts_equal_ends(log: LogFile) -> int:
    """Check the report's second recipe; return the count."""
    starts, ends = log.grep("stream_start"), log.grep("stream_end")
    assert len(starts) == len(ends)
    return len(starts)


async def test_baseline(chain: Chain, log: LogFile) -> None:
    """A simple prompt: start, thinking, tokens in a continuous flow, end; nothing is cancelled."""
    stream_id = await chain.ask("sess-abc", chain.short("sess-abc"))
    events = await read(chain, stream_id)
    assert [event.name for event in events[:3]] == ["start", "status", "status"]
    assert text_of(events).strip()
    end = events[-1].data
    assert (end["outcome"], end["upstream_closed"]) == ("complete", True)
    assert end["tokens"] == sum(event.data["count"] for event in events if event.name == "token") > 1

    lines = log.grep(f"trace={stream_id} session=sess-abc")
    told = ["stream_start", "stream_status", "stream_status", "stream_cleanup", "stream_status", "stream_end"]
    assert [line.split()[2] for line in lines] == told
    assert [line.rpartition("status=")[2] for line in log.grep("status=")] == [
        "thinking",
        "streaming",
        "complete",
    ]
    assert not log.grep("stream_cancelled")
    assert starts_equal_ends(log) == 1
    assert await chain.generating() == 0


async def test_stop(chain: Chain, log: LogFile) -> None:
    """The Stop button: the answer so far stays, the clean-up ran, and the model server itself is free again."""
    stream_id = await chain.ask("sess-abc", chain.long("sess-abc"))
    await first_token(chain, stream_id)
    assert await chain.generating() == 1
    answer = await chain.client.stop(stream_id)
    assert (answer["outcome"], answer["upstream_closed"]) == ("stopped", True)
    await none_generating(chain)

    events = await read(chain, stream_id)
    assert text_of(events)
    assert (events[-1].name, events[-1].data["outcome"]) == ("end", "stopped")
    assert log.grep(f"stream_cancelled trace={stream_id} session=sess-abc reason=user_stop")
    assert log.events("sess-abc", *LIFE, "stream_cleanup") == [
        (name, stream_id) for name in ("stream_start", "stream_cancelled", "stream_cleanup", "stream_end")
    ]


async def test_stop_before_the_first_token(chain: Chain, log: LogFile) -> None:
    """Also a stop right behind the POST ends everything, and the session works on."""
    stream_id = await chain.ask("sess-abc", chain.long("sess-abc"))
    assert (await chain.client.stop(stream_id))["outcome"] == "stopped"
    again = await chain.ask("sess-abc", chain.short("sess-abc"))
    assert (await read(chain, again))[-1].data["outcome"] == "complete"
    await none_generating(chain)
    assert starts_equal_ends(log) == 2


async def test_rapid(chain: Chain, log: LogFile) -> None:
    """Prompt A, and 50 ms later prompt B without a stop: A is cancelled and ended before B starts; no hang."""
    async with counting(chain) as counts:
        a = await chain.ask("sess-abc", chain.long("sess-abc"))
        await asyncio.sleep(0.05)  # as the report has it
        b = await chain.ask("sess-abc", chain.short("sess-abc"))
        answer = await read(chain, b)
    assert answer[-1].data["outcome"] == "complete"
    assert (await read(chain, a))[-1].data["outcome"] == "superseded"
    assert max(counts) <= 1 or not chain.counts_at_once
    assert not chain.overlaps()
    await none_generating(chain)

    assert log.events("sess-abc", *LIFE) == [
        ("stream_start", a),
        ("stream_cancelled", a),
        ("stream_end", a),
        ("stream_start", b),
        ("stream_end", b),
    ]
    assert log.grep(f"stream_cancelled trace={a} session=sess-abc reason=registry_new_stream")
    waited = log.grep("prev_stream_finished_cleanly\\|prev_stream_timeout_on_cancel")
    assert [line.split()[2:4] for line in waited] == [["prev_stream_finished_cleanly", f"trace={a}"]]


async def test_stress(chain: Chain, log: LogFile) -> None:
    """Five prompts as fast as they can be sent: the newest is answered, each older one is cancelled, in turn."""
    async with counting(chain) as counts:
        ids = [await chain.ask("sess-abc", chain.long("sess-abc")) for _ in range(4)]
        ids.append(await chain.ask("sess-abc", chain.short("sess-abc")))
        newest = await read(chain, ids[-1])
    assert newest[-1].data["outcome"] == "complete"
    assert text_of(newest)
    assert max(counts) <= 1 or not chain.counts_at_once
    assert not chain.overlaps()
    for stream_id in ids[:-1]:
        events = await read(chain, stream_id)
        assert (events[0].name, events[-1].name) == ("start", "end")
        assert events[-1].data["outcome"] == "superseded"
    await none_generating(chain)

    assert starts_equal_ends(log) == 5
    assert [trace for name, trace in log.events("sess-abc", "stream_start")] == ids
    turns = log.events("sess-abc", "stream_start", "stream_end")
    assert turns == [(name, stream_id) for stream_id in ids for name in ("stream_start", "stream_end")]
    assert len(log.grep("stream_cancelled")) == 4


async def test_isolation(chain: Chain, log: LogFile) -> None:
    """Two sessions answer at the same time; a stop in one does nothing to the other."""
    async with counting(chain) as counts:
        one = await chain.ask("session-1", chain.long("session-1"))
        two = await chain.ask("session-2", chain.long("session-2"))
        await asyncio.gather(first_token(chain, one), first_token(chain, two))
        assert await chain.generating() == 2
        assert (await chain.client.stop(one))["outcome"] == "stopped"
        state = await chain.client.get(f"/api/streams/{two}")
        assert (state["status"], state["outcome"]) == ("streaming", None)
        newer = await chain.ask("session-2", chain.short("session-2"))
        answer = await read(chain, newer)
    assert answer[-1].data["outcome"] == "complete"
    assert max(counts) <= 2 or not chain.counts_at_once
    assert not chain.overlaps()
    await none_generating(chain)

    assert {event.data["stream_id"] for event in await read(chain, one)} == {one}
    assert {trace for _, trace in log.events("session-1", *LIFE)} == {one}
    assert {trace for _, trace in log.events("session-2", *LIFE)} == {two, newer}
    assert starts_equal_ends(log) == 3
