"""A slow page costs no memory and delays nobody: it leaves the feeds, and reads on when there is room."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from app.markdown.document import document
from app.web.app_keys import PAGE_CHANNELS
from app.web.events.push import BUFFER_BYTES
from tests.support.sse import Event
from tests.support.waiting import until
from tests.web.events.test_slow_viewer import lazy
from tests.web.page_client import Page, ShownAnswer
from tests.web.stage import Stage, on_stage, until_event

WATCH = "/events?watch=s1:"
CHUNK = "\n\n".join(["x" * 4_000] * 16) + "\n\n"
MOST = 1024  # chunks; the kernel keeps less than that for a connection
STUCK = 4  # chunks in a row that find the slow page behind


def events(raw: bytes) -> list[Event]:
    """Read the frames of a response, as `EventSource` would."""
    found: list[Event] = []
    for frame in raw.partition(b"\r\n\r\n")[2].decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if ": " in line)
        if "data" in fields:
            had_id = "id" in fields
            found.append(Event(fields.get("id"), fields["event"], json.loads(fields["data"]), had_id))
    return found


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


async def test_a_slow_page_falls_behind_and_catches_up(tmp_path: Path) -> None:
    """The quick page has had everything while the slow one read nothing; then that one gets it all as well."""
    async with on_stage(tmp_path, max_answer_bytes=2**30, log_bytes=2**30) as stage:
        await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with lazy(stage, WATCH) as slow, stage.client.events(WATCH) as quick:
            await until(lambda: stage.registry.statistics().viewers == 2)
            seen = await flood(stage, quick)
            viewers = stage.registry.session("s1")._viewers
            pages = {watch._viewer for watch in viewers}  # type: ignore[attr-defined]
            assert max(page._transport.get_write_buffer_size() for page in pages) <= BUFFER_BYTES + 4 * len(
                CHUNK
            )
            generation.finish()
            seen += await until_event(quick, "end")
            text = "".join(event.data["text"] for event in seen if event.name == "token")
            expected = (await asyncio.to_thread(document, text)).blocks
            # Many blocks at a time are rendered in threads, and come when they come: also after the `end`.
            if missing := len(expected) - names(seen).count("block"):
                seen += await until_event(quick, "block", missing)
            raw = await everything(slow, len(expected))
        for shown in await asyncio.to_thread(answers, seen, raw):
            assert shown.html == expected
            assert shown.text == text
        await stage.settled()


def names(seen: list[Event]) -> list[str]:
    """Return what the events are called."""
    return [event.name for event in seen]


async def everything(reader: asyncio.StreamReader, blocks: int) -> bytes:
    """Read until the `end` and so many blocks have come."""
    raw = bytearray()
    async with asyncio.timeout(30):
        while not (
            raw.endswith(b"\n\n") and raw.count(b"event: block\n") == blocks and b"event: end\n" in raw
        ):
            raw += await reader.read(1 << 20)
    return bytes(raw)


def answers(seen: list[Event], raw: bytes) -> list[ShownAnswer]:
    """Return the answer as both pages show it."""
    pages = Page(), Page()
    pages[0].take(seen)
    pages[1].take(events(raw))
    return [answer for page in pages for answer in page.answers.values()]


async def test_a_page_that_is_overtaken_by_the_logs_bound_is_reset(tmp_path: Path) -> None:
    """What it has not read fell out of the log: for that session it loads the snapshot, and the response stays."""
    async with on_stage(tmp_path, max_answer_bytes=2**30, log_bytes=2**17) as stage:
        await stage.client.post("s1", "hello")
        await stage.opened()
        async with lazy(stage, WATCH) as slow, stage.client.events(WATCH) as quick:
            await until(lambda: stage.registry.statistics().viewers == 2)
            await flood(stage, quick)
            session = stage.registry.session("s1")
            while min(watch._after for watch in session._viewers) >= session.log.floor:  # type: ignore[attr-defined]
                stage.puppet.generations[-1].say(CHUNK)
                await until_event(quick, "token")
            raw = bytearray()
            async with asyncio.timeout(30):
                while not (b"event: reset\n" in raw[-4096:] and raw.endswith(b"\n\n")):  # the whole of it
                    raw += await slow.read(1 << 20)
            await until(lambda: stage.registry.statistics().viewers == 1)
        last = (await asyncio.to_thread(events, bytes(raw)))[-1]
        assert (last.name, last.data["reason"]) == ("reset", "lagging")
