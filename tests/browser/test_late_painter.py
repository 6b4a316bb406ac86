"""What paints an open tail is loaded after the page: until it is there, and if it never comes, the text is plain."""

from __future__ import annotations

from playwright.async_api import Page, Route, expect

from tests.browser.chat import Chat
from tests.browser.held import hold
from tests.browser.puppets import Led

PAINTERS = "**/static/**/tail.js"
# Each change of the answer's text, as the length that it had then.
WATCH = """() => {
    const box = document.querySelector("[data-role=assistant] [data-part=content]");
    window.lengths = [];
    new MutationObserver(() => lengths.push(box.textContent.length)).observe(box, {
        childList: true, characterData: true, subtree: true,
    });
}"""


async def lengths(page: Page) -> list[int]:
    """Return the lengths that the text has had since it is watched, each time that it changed."""
    found: list[int] = await page.evaluate("lengths")
    return found


async def test_text_is_plain_until_it_can_be_painted(led: Led) -> None:
    """Nothing of it is lost, and nothing that was shown is gone for a frame."""
    chat = led.chat
    held = await hold(chat, PAINTERS)
    await chat.page.reload()
    await chat.alive()
    generation = await led.ask("hello")
    generation.say("one *tw")
    await expect(chat.text().locator(".tail")).to_have_text("one *tw")
    await chat.page.evaluate(WATCH)
    generation.say("o* three")
    await expect(chat.text().locator(".tail")).to_have_text("one *two* three")
    assert await chat.text().locator(".tail > *").count() == 0
    before = await chat.text().bounding_box()
    held.release()
    await expect(chat.text().locator(".tail > p > em")).to_have_text("two")
    assert await chat.text().bounding_box() == before, "painted, it takes the same room"
    generation.say(" and **four**")
    await expect(chat.text().locator(".tail strong")).to_have_text("four")
    assert await chat.words() == "one two three and four"
    assert min(await lengths(chat.page)) >= len("one two three")
    generation.finish()
    await chat.ends("complete")


async def test_blocks_close_before_the_painter_is_there(led: Led) -> None:
    """The server's blocks need no painter; what follows them is plain, and painted later."""
    chat = led.chat
    held = await hold(chat, PAINTERS)
    await chat.page.reload()
    await chat.alive()
    generation = await led.ask("hello")
    generation.say("## First\n\nsecond ", "*paragraph*")
    await expect(chat.text().locator(".block > h3")).to_have_text("First")
    await expect(chat.text().locator(".tail")).to_have_text("second *paragraph*")
    held.release()
    await expect(chat.text().locator(".tail em")).to_have_text("paragraph")
    generation.finish()
    await chat.ends("complete")
    assert await chat.text().locator(".block").all_inner_texts() == ["First", "second paragraph"]


async def test_a_page_that_is_opened_in_the_middle_is_painted(led: Led) -> None:
    """What the server put there stays until the painter takes it over."""
    chat = led.chat
    generation = await led.ask("hello")
    generation.say("so *far*")
    await expect(chat.text().locator("em")).to_have_text("far")
    held = await hold(chat, PAINTERS)
    await chat.page.reload()
    await chat.alive()
    await expect(chat.text().locator(".tail")).to_have_text("so *far*")
    generation.say(" so _good_")
    await expect(chat.text().locator(".tail")).to_have_text("so *far* so _good_")
    held.release()
    await expect(chat.text().locator(".tail em")).to_have_text(["far", "good"])
    generation.finish()
    await chat.ends("complete")


async def test_a_selection_is_not_painted_over(led: Led) -> None:
    """What is selected of the plain text stays until the selection is gone."""
    chat = led.chat
    held = await hold(chat, PAINTERS)
    await chat.page.reload()
    await chat.alive()
    generation = await led.ask("hello")
    generation.say("one *two*")
    await expect(chat.text().locator(".tail")).to_have_text("one *two*")
    await chat.page.evaluate(
        "getSelection().selectAllChildren(document.querySelector('.message [data-part=content] .tail'))"
    )
    held.release()
    generation.say(" three")
    await expect(chat.text().locator(".tail")).to_have_text("one *two* three")
    assert await chat.text().locator(".tail > *").count() == 0
    await chat.page.evaluate("getSelection().removeAllRanges()")
    await expect(chat.text().locator(".tail em")).to_have_text("two")
    generation.finish()
    await chat.ends("complete")


async def test_an_answer_needs_no_painter(chat: Chat) -> None:
    """If it cannot be loaded, the text comes plainly, and at its end as the server renders it."""

    async def refuse(route: Route) -> None:
        await route.abort()

    await chat.page.route(PAINTERS, refuse)
    await chat.page.reload()
    await chat.alive()
    await chat.ask("one *two*\n\nthree", "echo")
    await chat.ends("complete")
    await expect(chat.text().locator(".block em")).to_have_text("two")
    await expect(chat.text().locator(".tail")).to_be_empty()


async def test_the_painter_comes_when_nothing_else_is_to_do(chat: Chat) -> None:
    """A page on which nothing happens has it soon."""
    loaded = "() => performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/tail.js'))"
    await chat.page.wait_for_function(loaded)
