"""An answer on its way: it streams, is stopped, gives way to a newer one, fails, and is Markdown in the end."""

from __future__ import annotations

from app.chat.errors import UpstreamTruncated
from tests.browser.engines.conftest import Led
from tests.browser.engines.visitor import Visitor
from tests.support.server import LiveServer

SHOWN = "(selector) => Array.from(document.querySelectorAll(selector)).some((each) => each.getClientRects().length > 0)"
STATUS = "(text) => document.querySelector('[data-part=status]').textContent === text"
CODE = "```python\ndef mill():\n    pass\n```\n\n"


async def test_an_answer_appears_as_it_is_written(led: Led) -> None:
    """Thinking first, then the text piece by piece, then the end is announced; Send is there again."""
    generation = await led.ask("hello")
    visitor = led.visitor
    await visitor.has_asked("hello")
    await visitor.window.until(SHOWN, "[data-part=thinking]")
    generation.say("One")
    await visitor.says("One")
    generation.say(" two")
    await visitor.says("One two")
    await visitor.window.until(STATUS, "Generating")
    generation.finish()
    await visitor.ends("complete")
    assert await visitor.words() == "One two"
    await visitor.window.until(STATUS, "Answer complete")
    await visitor.window.until(SHOWN, "[data-part=send]")


async def test_the_open_block_is_painted_and_a_closed_one_is_the_servers(led: Led) -> None:
    """Bold and a heading in the tail; coloured code and formulas as soon as their block is closed."""
    generation = await led.ask("hello")
    visitor = led.visitor
    generation.say("Some **bold** ")
    await visitor.window.until(SHOWN, ".tail strong")
    generation.say("words.\n\n", CODE, "\\(a^2\\)\n\n", "The end")
    await visitor.window.until(SHOWN, ".block pre .keyword")
    await visitor.window.until(SHOWN, ".block math")
    assert "def mill():" in await visitor.words()
    generation.finish()
    await visitor.ends("complete")
    await visitor.window.until("() => document.querySelectorAll('.tail:not(:empty)').length === 0")


async def test_stop_keeps_what_came(visitor: Visitor, server: LiveServer) -> None:
    """The model works no more; the partial answer stays, labelled, also after a reload."""
    await visitor.send("tell a long story", "scripted/long")
    await visitor.says("The river")
    await visitor.window.click("[data-part=stop]")
    await visitor.ends("stopped")
    assert server.scripted.ledger.open == 0
    kept = await visitor.words()
    assert await visitor.label() == "Stopped"
    await visitor.reload()
    assert await visitor.words() == kept
    assert await visitor.label() == "Stopped"


async def test_a_newer_prompt_takes_over(visitor: Visitor, server: LiveServer) -> None:
    """The old answer stays and says so; nothing more of it is shown."""
    await visitor.send("tell a long story", "scripted/long")
    await visitor.says("The river")
    await visitor.send("something else", "scripted/echo")
    await visitor.ends("complete", 1)
    await visitor.ends("superseded", 0)
    assert await visitor.words(1) == "something else"
    assert await visitor.label(0) == "Replaced by a newer message"
    await visitor.has_asked("tell a long story", "something else")
    assert server.scripted.ledger.open == 0


async def test_a_failure_keeps_what_came_and_says_why(led: Led) -> None:
    """With Retry, which answers in its place."""
    generation = await led.ask("hello")
    generation.say("It begins")
    await led.visitor.says("It begins")
    generation.fail(UpstreamTruncated("The model server stopped early."))
    await led.visitor.ends("failed")
    assert await led.visitor.words() == "It begins"
    assert await led.visitor.part("problem-text") == "The model server stopped early."
    await led.visitor.window.click("[data-part=regenerate] button")
    await led.visitor.window.until("() => document.body.innerText.includes('2/2')")


async def test_a_whole_answer_is_the_same_live_and_after_a_reload(visitor: Visitor) -> None:
    """Table, list, coloured code and quotation: block by block, to the letter."""
    await visitor.send("a table, please", "scripted/markdown")
    await visitor.ends("complete")
    await visitor.window.until(SHOWN, ".block blockquote")
    live = await visitor.blocks()
    assert any("<table" in block for block in live)
    assert any('class="keyword"' in block for block in live)
    await visitor.reload()
    assert await visitor.blocks() == live


async def test_reasoning_is_folded_above_its_answer(visitor: Visitor) -> None:
    """It comes live, and can be opened."""
    await visitor.send("think about it", "scripted/reasoning")
    await visitor.ends("complete")
    assert "The user asks." in await visitor.part("reasoning")
    assert await visitor.words() == "It is forty-two."
    await visitor.window.click("[data-part=reasoning-box] > summary")
    await visitor.window.until(SHOWN, "[data-part=reasoning]")
