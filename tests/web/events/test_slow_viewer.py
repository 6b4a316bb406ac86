"""A slow viewer costs no memory and delays nobody: it falls behind, catches up, or is told that it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from app.web.app_keys import CHANNELS
from app.web.events.push import BUFFER_BYTES
from app.web.http import accept
from tests.support.raw_viewer import ROOM, RawViewer
from tests.support.sse import Event, events_in, text_of
from tests.support.waiting import until
from tests.web.stage import Stage, on_stage, until_event

CHUNK = "x" * 65_536
MOST = 4096  # chunks; the kernel keeps less than that for a connection
STUCK = 6  # chunks in a row that find the slow viewer behind


def lazy(stage: Stage, path: str) -> RawViewer:
    """Ask for a stream of events and read nothing unless told to. The kernel holds little."""
    return RawViewer(stage.live.url, path, room=ROOM, version="1.0")


async def flood(stage: Stage, events: AsyncIterator[Event]) -> list[Event]:
    """Let the model say chunk after chunk, as fast as a quick viewer reads, until the slow one is stuck.

    That is: until nothing more fits into the kernel's buffers, and it stays behind.
    """
    channels = stage.live.app[CHANNELS][accept.EVENTS]
    seen: list[Event] = []
    stuck = 0
    for _ in range(MOST):
        stage.puppet.generations[-1].say(CHUNK)
        seen += await until_event(events, "token")
        stuck = stuck + 1 if sum(channel.followers for channel in channels) == 1 else 0
        if stuck == STUCK:
            return seen
    raise AssertionError(f"the kernel took {MOST} chunks")


async def test_it_falls_behind_and_catches_up(tmp_path: Path) -> None:
    """The quick viewer has had everything while the slow one read nothing; then that one gets it all as well."""
    async with on_stage(tmp_path, max_answer_bytes=2**30, log_bytes=2**30) as stage:
        registered = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with (
            lazy(stage, registered["events_url"]) as slow,
            stage.client.events(registered["events_url"]) as quick,
        ):
            await until(lambda: stage.registry.statistics().viewers == 2)
            seen = await flood(stage, quick)
            assert max(stage.live.buffered) <= BUFFER_BYTES + 3 * len(CHUNK)
            generation.finish()
            seen += [event async for event in quick]
            await slow.read_to_the_end()
        text = await asyncio.to_thread(
            text_of, seen
        )  # megabytes: the loop under test is not the place for them
        shown = await asyncio.to_thread(events_in, bytes(slow.body))
        assert (shown[0].name, shown[-1].name) == ("start", "end")
        assert await asyncio.to_thread(text_of, shown) == text
        await stage.settled()


async def test_one_that_is_overtaken_by_the_logs_bound_is_told_so(tmp_path: Path) -> None:
    """What it has not read fell out of the log: its response ends with a `reset` of reason `lagging`."""
    async with on_stage(tmp_path, max_answer_bytes=2**30, log_bytes=2**17) as stage:
        first = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with (
            lazy(stage, "/api/sessions/s1/events") as slow,
            stage.client.events(first["events_url"]) as quick,
        ):
            await until(lambda: stage.registry.statistics().viewers == 2)
            await flood(stage, quick)
            assert stage.registry.session("s1").log.floor > 0  # the bound holds within one answer, too
            generation.finish()
            assert [event.name async for event in quick] == ["end"]
            await slow.read_to_the_end()
        last = (await asyncio.to_thread(events_in, bytes(slow.body)))[-1]
        assert (last.name, last.data) == ("reset", {"reason": "lagging", "snapshot_url": "/api/sessions/s1"})
        await stage.settled()


async def test_one_that_leaves_while_it_is_behind_is_forgotten(
    tmp_path: Path, handler_cancellation: bool
) -> None:
    """Also when nobody could write to it any more."""
    async with on_stage(tmp_path, handler_cancellation=handler_cancellation, max_answer_bytes=2**30) as stage:
        registered = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with stage.client.events(registered["events_url"]) as quick:
            async with lazy(stage, registered["events_url"]):
                await until(lambda: stage.registry.statistics().viewers == 2)
                await flood(stage, quick)
            await until(lambda: stage.registry.statistics().viewers == 1)
            generation.finish()
            assert [event.name async for event in quick] == ["end"]
        await stage.settled()
