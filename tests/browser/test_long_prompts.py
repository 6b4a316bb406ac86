"""A long prompt is folded, so that its answer is in sight."""

from __future__ import annotations

from playwright.async_api import Browser, Locator, expect

from tests.browser.chat import Chat
from tests.browser.puppets import Led
from tests.support.server import LiveServer

LOG = "\n".join(f"line {number} of the log" for number in range(400))
LINES = 12


async def lines(prompt: Locator) -> int:
    """Return how many lines high a prompt is."""
    height: float = await prompt.evaluate(
        "each => (each.clientHeight - 2 * parseFloat(getComputedStyle(each).paddingTop))"
        " / parseFloat(getComputedStyle(each).lineHeight)"
    )
    return round(height)


async def top(element: Locator) -> float:
    """Return where on the screen something begins."""
    place: float = await element.evaluate("each => each.getBoundingClientRect().top")
    return place


async def test_a_long_prompt_is_folded_as_it_is_sent(led: Led) -> None:
    """Nothing moves when its answer comes, when that ends, or when the page is loaded anew."""
    chat = led.chat
    model = await led.ask(LOG)
    assert await lines(chat.prompts) == LINES
    before = await top(chat.answer())
    model.say("A log.")
    await expect(chat.text()).to_have_text("A log.")
    assert await top(chat.answer()) == before
    model.finish()
    await chat.ends("complete")
    fold = chat.page.locator("article[data-role=user] .fold")
    shown = await fold.evaluate("each => each.outerHTML")
    await chat.page.reload()
    await chat.alive()
    assert await lines(chat.prompts) == LINES
    assert await fold.evaluate("each => each.outerHTML") == shown
    assert await chat.prompts.text_content() == LOG


async def test_short_prompts_are_whole(chat: Chat) -> None:
    """A few lines more than are shown are no reason to fold."""
    await chat.ask("\n".join(["a line"] * 15), "echo")
    await chat.ends("complete")
    await expect(chat.page.get_by_text("Show more")).to_be_hidden()
    assert await lines(chat.prompts) == 15
    await chat.ask("word " * 300, "echo")
    await chat.ends("complete", 1)
    await expect(chat.page.get_by_text("Show more").nth(1)).to_be_visible()


async def test_a_prompt_stays_unfolded(led: Led) -> None:
    """By keyboard, too; what comes below takes the reader nowhere."""
    chat = led.chat
    model = await led.ask(LOG)
    await chat.page.locator(".fold summary").focus()
    await chat.page.keyboard.press("Enter")
    assert await lines(chat.prompts) == 400
    await expect(chat.page.get_by_text("Show less")).to_be_visible()
    place = await chat.page.locator(".scroll").evaluate("box => box.scrollTop")
    model.say("A log.\n\n" * 40)
    await expect(chat.text().locator(".block")).to_have_count(40)
    assert await chat.page.locator(".scroll").evaluate("box => box.scrollTop") == place
    await expect(chat.page.get_by_role("button", name="Jump to latest")).to_be_visible()
    model.finish()
    await chat.ends("complete")
    assert await lines(chat.prompts) == 400
    await chat.page.locator(".fold summary").click()
    assert await lines(chat.prompts) == LINES


async def test_a_folded_prompt_is_found_and_copied(chat: Chat) -> None:
    """All of it is there: for the browser's search, for a selection, and in the editor."""
    await chat.ask(LOG, "short")
    await chat.ends("complete")
    assert await chat.page.evaluate("window.find('line 399 of the log', false, false, true)")
    await chat.prompts.evaluate("each => getSelection().selectAllChildren(each)")
    assert await chat.page.evaluate("getSelection().toString()") == LOG
    await chat.page.get_by_text("Edit", exact=True).click()
    await expect(chat.page.get_by_label("Edit message")).to_have_value(LOG)
    await expect(chat.page.get_by_text("Show more")).to_be_hidden()


async def test_a_prompt_is_unfolded_without_scripts(browser: Browser, server: LiveServer) -> None:
    """The browser does it by itself."""
    await server.client.ask("s1", LOG, model="scripted/short")
    context = await browser.new_context(java_script_enabled=False)
    chat = Chat(await context.new_page(), server.url)
    await chat.page.goto(f"{server.url}/sessions/s1")
    assert await lines(chat.prompts) == LINES
    await chat.page.get_by_text("Show more").click()
    assert await lines(chat.prompts) == 400
    await context.close()
