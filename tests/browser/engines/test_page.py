"""What else there is to a page: versions, keys, panels, the theme, and forms that need no script."""

from __future__ import annotations

from tests.browser.engines.test_answers import SHOWN
from tests.browser.engines.visitor import FOCUSED, Visitor

VERSION = "(text) => document.body.innerText.includes(text)"
BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"


async def test_an_edited_prompt_is_a_version_beside_the_old_one(visitor: Visitor) -> None:
    """And the old one is a click away, with its answer."""
    await visitor.send("one", "scripted/echo")
    await visitor.ends("complete")
    await visitor.window.click("[data-part=edit] > summary")
    await visitor.window.click("[data-part=edit] textarea")
    await visitor.window.press("Control", "a")
    await visitor.window.write("uno")
    await visitor.window.click("[data-part=edit] button.primary")
    await visitor.says("uno")
    await visitor.ends("complete")
    await visitor.has_asked("uno")
    await visitor.window.click("article[data-role=user] [data-part=branches] a:first-of-type")
    await visitor.says("one")
    await visitor.has_asked("one")


async def test_another_answer_is_a_version_too(visitor: Visitor) -> None:
    """Regenerate answers the same prompt again."""
    await visitor.send("again", "scripted/echo")
    await visitor.ends("complete")
    await visitor.window.click("[data-part=regenerate] button")
    await visitor.window.until(VERSION, "2/2")
    await visitor.ends("complete")
    assert await visitor.words() == "again"
    await visitor.has_asked("again")


async def test_keys(visitor: Visitor) -> None:
    """Shift+Enter is a new line, Enter sends, Esc stops, `/` leads back to the box, `?` opens the help."""
    await visitor.choose("scripted/long")
    await visitor.write("#prompt", "two")
    await visitor.window.press("Shift", "Enter")
    await visitor.window.write("lines")
    assert await visitor.window.ask("() => document.querySelector('#prompt').value") == "two\nlines"
    await visitor.window.press("Enter")
    await visitor.says("The river")
    await visitor.window.press("Escape")
    await visitor.ends("stopped")
    await visitor.has_asked("two\nlines")
    await visitor.window.ask("() => document.activeElement.blur()")
    await visitor.window.press("?")
    await visitor.window.until(SHOWN, "#help")
    await visitor.window.press("Escape")
    await visitor.window.until("() => document.querySelector('#help').getClientRects().length === 0")
    await visitor.window.ask("() => document.activeElement.blur()")
    await visitor.window.press("/")
    await visitor.window.until(FOCUSED, "#prompt")
    await visitor.window.press("Control", "k")
    await visitor.window.until(FOCUSED, "#search")


async def test_the_message_box_grows_with_its_text(visitor: Visitor) -> None:
    """Up to a bound, past which it scrolls; and shrinks again."""
    height = "() => document.querySelector('#prompt').getBoundingClientRect().height"
    single = await visitor.window.ask(height)
    await visitor.window.click("#prompt")
    for _ in range(3):
        await visitor.window.write("a line")
        await visitor.window.press("Shift", "Enter")
    four = await visitor.window.ask(height)
    assert four > 2.5 * single
    for _ in range(30):
        await visitor.window.press("Shift", "Enter")
    assert await visitor.window.ask(height) < 400
    await visitor.window.press("Control", "a")
    await visitor.window.press("Backspace")
    assert await visitor.window.ask(height) == single


async def test_a_theme_is_kept(visitor: Visitor) -> None:
    """It is another colour at once, and still after a reload."""
    before = await visitor.window.ask(BACKGROUND)
    await visitor.window.click("[popovertarget=preferences]")
    await visitor.window.click("#preferences label:has([value=dark])")
    await visitor.window.until("() => document.documentElement.dataset.theme === 'dark'")
    assert await visitor.window.ask(BACKGROUND) != before
    # The server keeps it a moment later.
    await visitor.window.until(
        "() => fetch('/').then((page) => page.text()).then((html) => html.includes('data-theme=\"dark\"'))"
    )
    await visitor.reload()
    assert await visitor.window.ask(BACKGROUND) != before


async def test_a_chat_is_renamed_and_deleted_in_its_menu(visitor: Visitor) -> None:
    """In place; the deletion can be undone."""
    await visitor.send("rivers", "scripted/echo")
    await visitor.ends("complete")
    await visitor.window.hover(".sessions li")
    await visitor.window.click(".sessions .more")
    await visitor.window.click("#session-menu [data-part=rename]")
    await visitor.window.until(FOCUSED, ".sessions input")
    await visitor.window.press("Control", "a")
    await visitor.window.write("Brooks")
    await visitor.window.press("Enter")
    await visitor.window.until("() => document.querySelector('.sessions .session')?.textContent === 'Brooks'")
    await visitor.window.hover(".sessions li")
    await visitor.window.click(".sessions .more")
    await visitor.window.click("#session-menu [data-part=delete]")
    await visitor.window.click("[data-part=undo] button")
    await visitor.window.until("() => document.querySelector('.sessions .session')?.textContent === 'Brooks'")
