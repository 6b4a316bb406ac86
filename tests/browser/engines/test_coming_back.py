"""A page that was away: reloaded, cut off, in another tab, left and returned to."""

from __future__ import annotations

from tests.browser.engines.conftest import Led
from tests.browser.engines.test_answers import SHOWN
from tests.browser.engines.visitor import Visitor


async def test_a_reload_in_the_middle_loses_nothing(led: Led) -> None:
    """The same message goes on, with all of its text, once."""
    generation = await led.ask("hello")
    generation.say("**One** ", "two\n\n", "thr")
    await led.visitor.says("thr")
    await led.visitor.reload()
    await led.visitor.says("thr")
    generation.say("ee\n\n", "four")
    await led.visitor.says("four")
    generation.finish()
    await led.visitor.ends("complete")
    assert "".join((await led.visitor.words()).split()) == "Onetwothreefour"
    await led.visitor.has_asked("hello")


async def test_a_cut_connection_is_resumed_without_gap_or_repetition(led: Led) -> None:
    """What was said meanwhile is there afterwards, once."""
    generation = await led.ask("hello")
    generation.say("One")
    await led.visitor.says("One")
    led.wire.cut()
    generation.say(" two")
    led.wire.mend()
    await led.visitor.says("One two")
    generation.say(" three")
    generation.finish()
    await led.visitor.ends("complete")
    assert await led.visitor.words() == "One two three"


async def test_a_long_loss_is_told_and_the_text_stays(led: Led) -> None:
    """The page says that it reconnects, and goes on by itself."""
    generation = await led.ask("hello")
    generation.say("One")
    await led.visitor.says("One")
    led.wire.cut()
    await led.visitor.window.until(SHOWN, "[data-part=link]")
    assert await led.visitor.words() == "One"
    generation.say(" two")
    led.wire.mend()
    await led.visitor.window.until("() => document.querySelector('[data-part=link]').hidden")
    await led.visitor.says("One two")


async def test_two_tabs_show_the_same_and_either_stops_it(led: Led) -> None:
    """Over one connection, which a shared worker holds."""
    generation = await led.ask("hello")
    generation.say("One")
    await led.visitor.says("One")
    other = await led.visitor.tab()
    await other.says("One")
    generation.say(" two")
    await other.says("One two")
    assert len({asked.partition(":")[0] for asked in led.wire.asked}) == 1
    await other.window.click("[data-part=stop]")
    await other.ends("stopped")
    await other.window.close()
    await led.visitor.ends("stopped")
    assert await led.visitor.words() == "One two"


async def test_a_tab_that_is_closed_leaves_the_other_alone(led: Led) -> None:
    """Whichever of them opened the connection."""
    generation = await led.ask("hello")
    generation.say("One")
    await led.visitor.says("One")
    other = await led.visitor.tab()
    await other.says("One")
    await led.visitor.window.close()
    generation.say(" two")
    generation.finish()
    await other.ends("complete")
    assert await other.words() == "One two"


async def test_back_shows_the_chat_that_was_left(visitor: Visitor) -> None:
    """With its answer, and alive: it takes the next prompt."""
    await visitor.send("first", "scripted/echo")
    await visitor.ends("complete")
    await visitor.window.click(".new")
    await visitor.window.until("() => location.pathname === '/'")
    await visitor.alive()
    await visitor.window.back()
    await visitor.window.until("() => location.pathname.startsWith('/sessions/')")
    await visitor.alive()
    await visitor.says("first")
    await visitor.send("second", "scripted/echo")
    await visitor.ends("complete", 1)
    await visitor.has_asked("first", "second")
