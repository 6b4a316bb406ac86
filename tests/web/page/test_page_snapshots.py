"""Snapshots as the page loads them: answers as blocks of HTML, rendered once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.markdown.blocks.splitting import Block, Splitter
from app.markdown.bounds import BLOCK_LENGTH, Deadline
from app.markdown.html.rendering import attempt
from app.markdown.steps import Rendered, Steps, document_steps
from app.web.app_keys import RENDERER
from app.web.blocks import renderer
from app.web.blocks.cache import Cache
from app.web.blocks.renderer import Renderer
from tests.markdown.rendered import document, opened
from tests.support.waiting import until
from tests.web.page_client import snapshot
from tests.web.stage import Stage, problem


async def test_an_answer_that_has_ended_is_all_blocks(stage: Stage) -> None:
    """The prompt stays text, as it was typed."""
    await stage.answer("s1", "# hello", "# One\n", "\n", "two 🌊")
    prompt, answer = (await snapshot(stage.client))["messages"]
    assert (prompt["content"], prompt["blocks"], prompt["end"]) == ("# hello", [], 0)
    assert answer["blocks"] == ["<h3>One</h3>", "<p>two 🌊</p>"]
    assert (answer["end"], answer["tail"]) == (len("# One\n\ntwo 🌊") + 1, "")


async def test_a_running_answer_has_a_tail(stage: Stage) -> None:
    """The text after its blocks, which may still change its meaning."""
    await stage.client.post("s1", "hello")
    (await stage.opened()).say("# One\n\ntwo *th")
    await until(lambda: stage.registry.session("s1").log.head >= 4)
    answer = (await snapshot(stage.client))["messages"][1]
    assert (answer["blocks"], answer["end"], answer["tail"]) == (["<h3>One</h3>"], 6, "\ntwo *th")
    assert answer["outcome"] is None


async def test_a_snapshot_is_that_of_the_api_with_blocks(stage: Stage) -> None:
    """Everything else is the same, the cursor included."""
    await stage.answer("s1", "hello", "Hi")
    page, api = await snapshot(stage.client), await stage.client.get("/api/sessions/s1")
    for message in page["messages"]:
        for name in ("blocks", "end", "tail"):
            del message[name]
    assert page == api


async def test_a_branch_can_be_asked_for(stage: Stage) -> None:
    """As of the API; an unknown message is a 404, and so is an unknown session."""
    await stage.answer("s1", "hello", "Hi")
    (prompt, _) = (await snapshot(stage.client))["messages"]
    found = await stage.client.get(f"/sessions/s1/snapshot?branch={prompt['message_id']}")
    assert len(found["messages"]) == 2
    async with stage.http.get("/sessions/s1/snapshot?branch=nothing") as response:
        await problem(response, 404, "message_not_found")
    async with stage.http.get("/sessions/nobody/snapshot") as response:
        await problem(response, 404, "session_not_found")


async def test_the_page_shows_the_blocks(stage: Stage) -> None:
    """As they are: they have been sanitized."""
    await stage.answer("s1", "<b>hello</b>", "**Hi** <b>there</b>")
    async with stage.http.get("/sessions/s1") as response:
        text = await response.text()
    assert '<div class="block" data-index="0"><p><strong>Hi</strong> &lt;b&gt;there&lt;/b&gt;</p>' in text
    assert "&lt;b&gt;hello&lt;/b&gt;" in text
    assert "<b>" not in text


async def test_what_has_ended_is_rendered_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second page finds it in the cache."""
    await stage.answer("s1", "hello", "Hi")
    first = (await snapshot(stage.client))["messages"][1]["blocks"]

    def fail(*_: Any) -> None:
        raise AssertionError("it was rendered again")

    monkeypatch.setattr(renderer, "document_steps", fail)
    assert (await snapshot(stage.client))["messages"][1]["blocks"] == first


async def test_what_many_ask_for_at_once_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the first of them leaves meanwhile."""
    rendered: list[str] = []

    def counted(text: str, *rest: Any) -> Steps[Rendered]:
        rendered.append(text)
        return document_steps(text, *rest)

    monkeypatch.setattr(renderer, "document_steps", counted)
    rendering = Renderer()
    first, *others = [asyncio.create_task(rendering.document("# one")) for _ in range(100)]
    await asyncio.sleep(0)
    first.cancel()
    assert {tuple(found.blocks) for found in await asyncio.gather(*others)} == {("<h3>one</h3>",)}
    assert rendered == ["# one"]
    rendering.close()


async def test_too_much_at_once_is_shown_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound of waiting jobs nobody waits: the text is there, its blocks come with the next load."""
    monkeypatch.setattr(renderer, "MOST_WAITING", 1)
    rendering = Renderer()
    first, second = await asyncio.gather(rendering.document("# one"), rendering.document("# two"))
    assert (first.blocks, second.blocks, second.tail) == (["<h3>one</h3>"], [], "# two")
    assert (await rendering.document("# two")).blocks == ["<h3>two</h3>"]
    rendering.close()


async def test_the_loop_does_small_blocks_and_no_others() -> None:
    """A large one and one that takes long are left to the threads."""
    rendering = Renderer()
    assert rendering.block(Block("*a*", 3), {}, Deadline(1.0)) == "<p><em>a</em></p>"
    large = Block("a" * (renderer.SMALL + 1), renderer.SMALL + 1)
    slow = Block("*a_ " * (renderer.SMALL // 4), renderer.SMALL)
    assert rendering.block(large, {}, Deadline(1.0)) is rendering.block(slow, {}, Deadline(0.02)) is None
    made = await rendering.blocks([large, slow], {})
    assert [rendering.block(large, {}, Deadline(1.0)), rendering.block(slow, {}, Deadline(1.0))] == made
    rendering.close()


async def test_links_are_part_of_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same source under other definitions is another block; one without brackets is not."""
    rendered: list[str] = []

    def counted(source: str, *rest: Any) -> str:
        rendered.append(source)
        return attempt(source, *rest)

    monkeypatch.setattr(renderer, "attempt", counted)
    rendering = Renderer()
    known = {"A": {"href": "https://example.org", "title": ""}}
    assert rendering.block(Block("[a]", 3), {}, Deadline(1.0)) == "<p>[a]</p>"
    assert "href" in str(rendering.block(Block("[a]", 3), known, Deadline(1.0)))
    assert rendering.block(Block("a", 1), {}, Deadline(1.0)) == rendering.block(
        Block("a", 1), known, Deadline(1.0)
    )
    assert rendered == ["[a]", "[a]", "a"]
    rendering.close()


async def test_the_application_closes_its_renderer(stage: Stage) -> None:
    """No thread is started after the end of the server."""
    await stage.live.app.cleanup()
    with pytest.raises(RuntimeError):
        await stage.live.app[RENDERER].document("# anything")


def test_the_cache_is_bounded_by_bytes() -> None:
    """What was not used for the longest time goes first; what is too large is not kept at all."""
    cache: Cache[str, str] = Cache(10, lambda key, value: len(key) + len(value))
    for key in "abc":
        cache.put(key, "123")
    assert [cache.get(key) for key in "abc"] == [None, "123", "123"]
    cache.get("b")
    cache.put("d", "123")
    assert [cache.get(key) for key in "bcd"] == ["123", None, "123"]
    cache.put("e", "1" * 10)
    assert cache.get("e") is None
    assert len(cache) == 2


def test_a_running_answer_shows_what_it_will_show_when_it_has_ended() -> None:
    """Its blocks are the first blocks of the whole."""
    text = "# One\n\ntwo\n\n- three\n- four"
    whole = document(text).blocks
    for end in range(len(text)):
        part = opened(text[:end])
        assert part.blocks == whole[: len(part.blocks)]
    assert Splitter().tail == ""
    assert len(opened("x" * BLOCK_LENGTH * 2).blocks) <= 2
