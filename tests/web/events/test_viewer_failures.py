"""What fails for a viewer or a page costs that response and nothing else: the stream goes on for everybody else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.log.entries import End, Entry
from app.markdown.blocks.splitting import Block
from app.markdown.bounds import Deadline
from app.markdown.grammar import Definitions
from app.web.app_keys import PAGE_CHANNELS
from app.web.blocks.answer_blocks import AnswerBlocks, Closed
from app.web.blocks.renderer import SMALL, Renderer
from app.web.events import viewer
from app.web.page.live import viewer as page_viewer
from tests.support.waiting import until
from tests.web.stage import on_stage, take, until_event

PAGE = "/events?watch=s1:"
SESSION = "/api/sessions/s1/events"
LARGE = "x" * (SMALL + 1) + "\n\n"  # a block for the threads


class Broken(Renderer):
    """Fails at every block, as a defect in it would."""

    def block(self, block: Block, definitions: Definitions, deadline: Deadline) -> str | None:
        """Fail at small blocks, and leave large ones to `blocks`."""
        if len(block.source) > SMALL:
            return None
        raise LookupError("broken")

    async def blocks(
        self, blocks: list[Block], definitions: Definitions, owner: Hashable = None
    ) -> list[str]:
        """Fail."""
        raise LookupError("broken")


def fail(*_: object) -> Any:
    """Fail, as a defect in a viewer would."""
    raise LookupError("broken")


@pytest.mark.parametrize("text", ["small\n\n", LARGE], ids=["in-the-loop", "in-the-threads"])
async def test_a_block_that_cannot_be_rendered_is_told_as_its_text(text: str) -> None:
    """And those after it are told in their order; nothing waits for the one that failed."""
    told: list[Closed] = []
    renderer = Broken()
    answer = AnswerBlocks(renderer, told.append)
    for closed in (answer.add(text), answer.add("after\n\n"), answer.finish()):
        told += closed
    await answer.settled()
    renderer.close()
    assert [closed.number for closed in told] == list(range(len(told)))
    shown = "".join(closed.html.removeprefix('<pre class="plain">').removesuffix("</pre>") for closed in told)
    assert shown == f"{text}after\n\n"


async def test_an_answer_that_nobody_follows_is_settled() -> None:
    """A wait for its blocks ends, also where the job for them was cancelled before its first step."""
    renderer = Renderer()
    answer = AnswerBlocks(renderer, lambda _: None)
    answer.add(LARGE)
    answer.close()
    answer.add(LARGE)
    await answer.settled()
    renderer.close()


@pytest.mark.parametrize(
    ("module", "path"), [(viewer.Viewer, SESSION), (page_viewer.PageViewer, PAGE)], ids=["viewer", "page"]
)
async def test_a_response_that_fails_is_cut_and_the_stream_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: type,
    path: str,
) -> None:
    """The client comes back with its cursor; the answer is complete, and the log says what happened."""
    async with on_stage(tmp_path) as stage:
        await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with stage.client.events(path) as events:
            await take(events, 2)
            monkeypatch.setattr(module, "write", fail)
            generation.say("one")
            with caplog.at_level(logging.ERROR), pytest.raises(aiohttp.ClientError):
                await until_event(events, "never")
        monkeypatch.undo()
        async with stage.client.events(SESSION) as events:
            generation.say(" two")
            generation.finish()
            end = (await until_event(events, "end"))[-1]
    assert end.data["outcome"] == "complete"
    assert end.data["tokens"] == 2
    assert "a response was cut short" in caplog.text


async def test_a_frame_that_cannot_be_made_for_pages_cuts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page goes on with a gap, and the stream goes on."""
    async with on_stage(tmp_path) as stage:
        registered = await stage.client.post("s1", "hello")
        generation = await stage.opened()
        async with stage.client.events(PAGE) as events:
            await take(events, 2)
            (channel,) = stage.live.app[PAGE_CHANNELS]
            monkeypatch.setattr(channel, "encode", fail)
            generation.say("one")
            with pytest.raises(aiohttp.ClientError):
                await until_event(events, "never")
        generation.finish()
        await until(lambda: not stage.registry.is_live("s1", registered["stream_id"]))
        state = await stage.client.get(f"/api/streams/{registered['stream_id']}")
    assert state["outcome"] == "complete"


async def test_a_listener_that_raises_does_not_end_the_stream(tmp_path: Path) -> None:
    """Whatever listens to a session log: who appends hears nothing of its failure, and the others hear all."""
    heard: list[Entry] = []
    complaints: list[dict[str, Any]] = []
    async with on_stage(tmp_path) as stage:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        await stage.client.post("s1", "hello")
        generation = await stage.opened()
        log = stage.registry.session("s1").log
        log.listen(fail)
        log.listen(heard.append)
        generation.say("one")
        generation.finish()
        await until(lambda: heard and heard[-1].name == "end")
    assert [type(complaint["exception"]) for complaint in complaints] == [LookupError] * len(heard)
    assert isinstance(heard[-1].event, End)
    assert heard[-1].event.outcome == "complete"
