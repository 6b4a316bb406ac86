"""A slow page costs no memory and delays nobody: it leaves the feeds, and reads on when there is room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.web.app_keys import PAGE_CHANNELS
from app.web.events.push import BUFFER_BYTES
from tests.markdown.rendered import document
from tests.support.raw_viewer import RawViewer
from tests.support.sse import Event, events_in
from tests.support.waiting import until
from tests.web.events.test_slow_viewer import lazy
from tests.web.page_client import Page, ShownAnswer
from tests.web.stage import Stage, on_stage, until_event

WATCH = "/events?watch=s1:"
CHUNK = "\n\n".join(["x" * 4_000] * 16) + "\n\n"
MOST = 1024  # chunks; the kernel keeps less than that for a connection
STUCK = 4  # chunks in a row that find the slow page behind
OVERTAKEN = 8  # chunks, of which the log of the second test keeps two: what the slow page reads next is not among them


async def flood(stage: Stage, quick: AsyncIterator[Event]) -> list[Event]:
    """Let the model say chunk after chunk, as fast as a quick page reads, until the slow one stays behind."""
    (channel,) = stage.live.app[PAGE_CHANNELS]
    seen: list[Event] = []
    stuck = 0
    for _ in range(MOST):
        stage.puppet.generations[-1].say(CHUNK)
        seen += await until_event(quick, "token")
        stuck = stuck + 1 if channel.followers == 1 else 0
        if stuck == STUCK:
            return seen
    raise AssertionError(f"the kernel took {MOST} chunks")


@pytest.mark.slow
async def test_a_slow_page_falls_behind_and_catches_up(tmp_path: Path) -> None:
    """The quick page has had everything while the slow one read nothing; then that one gets it all as well."""
    async with on_stage(tmp_path, max_answer_bytes=2**30, log_bytes=2**30) as stage:
        await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with lazy(stage, WATCH) as slow, stage.client.events(WATCH) as quick:
            await until(lambda: stage.registry.statistics().viewers == 2)
            seen = await flood(stage, quick)
            assert max(stage.live.buffered) <= BUFFER_BYTES + 4 * len(CHUNK)
            generation.finish()
            seen += await until_event(quick, "end")
            text = "".join(event.data["text"] for event in seen if event.name == "token")
            expected = (await asyncio.to_thread(document, text)).blocks
            # Many blocks at a time are rendered in threads, and come when they come: also after the `end`.
            if missing := len(expected) - names(seen).count("block"):
                seen += await until_event(quick, "block", missing)
            await everything(slow, len(expected))
        for shown in await asyncio.to_thread(answers, seen, bytes(slow.body)):
            assert shown.html == expected
            assert shown.text == text
        await stage.settled()


def names(seen: list[Event]) -> list[str]:
    """Return what the events are called."""
    return [event.name for event in seen]


async def everything(viewer: RawViewer, blocks: int) -> None:
    """Read until the `end` and so many blocks have come."""
    async with asyncio.timeout(30):
        while not (
            viewer.body.endswith(b"\n\n")
            and viewer.body.count(b"event: block\n") == blocks
            and b"event: end\n" in viewer.body
        ):
            await viewer.read(1 << 20)


def answers(seen: list[Event], body: bytes) -> list[ShownAnswer]:
    """Return the answer as both pages show it."""
    pages = Page(), Page()
    pages[0].take(seen)
    pages[1].take(events_in(body))
    return [answer for page in pages for answer in page.answers.values()]


async def test_a_page_that_is_overtaken_by_the_logs_bound_is_reset(tmp_path: Path) -> None:
    """What it has not read fell out of the log: for that session it loads the snapshot, and the response stays."""
    async with on_stage(tmp_path, max_answer_bytes=2**30, log_bytes=2**17) as stage:
        await stage.client.post("s1", "hello")
        await stage.opened()
        async with lazy(stage, WATCH) as slow, stage.client.events(WATCH) as quick:
            await until(lambda: stage.registry.statistics().viewers == 2)
            await flood(stage, quick)
            for _ in range(OVERTAKEN):
                stage.puppet.generations[-1].say(CHUNK)
                await until_event(quick, "token")
            async with asyncio.timeout(30):
                # the whole of it
                while not (b"event: reset\n" in slow.body[-4096:] and slow.body.endswith(b"\n\n")):
                    await slow.read(1 << 20)
            await until(lambda: stage.registry.statistics().viewers == 1)
        last = (await asyncio.to_thread(events_in, bytes(slow.body)))[-1]
        assert (last.name, last.data["reason"]) == ("reset", "lagging")
