"""What a model thinks before it answers: one line while it goes on, and how long it took; folded, what it was."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from app.chat.ports import Usage
from tests.browser.chat import Chat
from tests.browser.puppets import Led

THOUGHTS = "**Plan**\n\n- weigh `x`\n- *decide*\n\n```py\nx = 1\n```\n\nDone thinking."
# The elements of the reasoning, in order, and what they say. Colours, and how items are wrapped, make no difference.
ELEMENTS = """(box) => {
    const names = "p, strong, ul, li, code, em, pre";
    const found = Array.from(box.querySelectorAll(names)).filter((each) => !each.matches("li > p"));
    return found.map((each) => `${each.localName} ${each.textContent.replace(/\\s+/g, "")}`);
}"""


def line(page: Page) -> Locator:
    """The line over the reasoning of the last answer."""
    return page.locator("article[data-role=assistant]").last.locator(".reasoning > summary")


def thoughts(page: Page) -> Locator:
    """The reasoning of the last answer."""
    return page.locator("article[data-role=assistant]").last.locator("[data-part=reasoning]")


async def test_one_line_says_that_it_goes_on_and_for_how_long(led: Led) -> None:
    """Not two; and from the first word on how long it took, not how long the whole answer does."""
    chat = led.chat
    await chat.page.clock.install()
    await chat.page.reload()
    await chat.alive()
    generation = await led.ask("think")
    await expect(chat.answer().locator(".thinking")).to_be_visible()
    generation.say("Hm.", kind="reasoning")
    await expect(line(chat.page)).to_have_text("Thinking…")
    assert await chat.answer().get_by_text("Thinking…").count() == 1
    await chat.page.clock.fast_forward(12_000)
    await expect(line(chat.page)).to_have_text(re.compile(r"^Thinking… 1[2-9] s$"))
    await expect(line(chat.page).locator(".pulse")).to_be_visible()
    generation.say("Yes.")
    await expect(line(chat.page)).to_have_text(re.compile(r"^Thought for 1[2-9] s$"))
    await expect(line(chat.page).locator(".pulse")).to_be_hidden()
    generation.finish()
    await chat.ends("complete")
    await expect(line(chat.page)).to_have_text(
        "Thought for 1 s"
    )  # by the clock of the server, which nobody has moved


async def test_another_tab_knows_since_when(led: Led) -> None:
    """One that is opened, or loaded anew, while the model thinks."""
    chat = led.chat
    generation = await led.ask("think")
    generation.say("Hm **so**", kind="reasoning")
    await expect(line(chat.page)).to_have_text("Thinking…")
    other = Chat(await chat.page.context.new_page(), chat.url)
    await other.page.clock.install()
    await other.page.goto(chat.page.url)
    await other.alive()
    await expect(line(other.page)).to_have_text("Thinking…")
    await expect(thoughts(other.page).locator("strong")).to_have_text("so")
    await other.page.clock.fast_forward(61_000)
    await expect(line(other.page)).to_have_text(re.compile(r"^Thinking… 6\d s$"))
    generation.say(" it goes on", kind="reasoning")
    await expect(thoughts(other.page)).to_contain_text("it goes on")
    generation.finish()
    await chat.ends("complete")


async def test_the_figures_are_the_same_everywhere(led: Led, browser: Browser) -> None:
    """Live, in another tab, after a reload, without scripts, from the API: of all that the model generated."""
    chat = led.chat
    generation = await led.ask("think")
    other = Chat(await chat.page.context.new_page(), chat.url)
    await other.open(chat.page.url.removeprefix(chat.url))
    generation.say("Hm.", kind="reasoning")
    await expect(line(other.page)).to_have_text("Thinking…")
    generation.say("Yes.")
    generation.finish(usage=Usage(7, 512))
    for tab in (chat, other):
        await tab.ends("complete")
    plain = await (await browser.new_context(java_script_enabled=False)).new_page()
    await plain.goto(chat.page.url)
    again = await chat.page.context.new_page()
    await again.goto(chat.page.url)
    pages = [chat.page, other.page, again, plain]
    said = [
        (
            await line(page).text_content(),
            await page.locator("article[data-role=assistant] [data-part=figures]").text_content(),
        )
        for page in pages
    ]
    assert len(set(said)) == 1, said
    response = await chat.page.request.get(f"{chat.url}/api/sessions/{chat.page.url.rpartition('/')[2]}")
    message = (await response.json())["messages"][-1]
    stream = await (await chat.page.request.get(f"{chat.url}/api/streams/{message['stream_id']}")).json()
    names = ("tokens", "duration_ms", "ttft_ms", "thought_ms", "completion_tokens", "tokens_per_second")
    assert {name: message[name] for name in names} == {name: stream[name] for name in names}
    assert (message["tokens"], message["completion_tokens"]) == (1, 512)
    assert said[0][1] is not None
    assert said[0][1].startswith("512 tokens · ")
    await plain.context.close()


@pytest.mark.parametrize("is_open", [True, False], ids=["unfolded", "folded"])
async def test_reasoning_is_rendered_lightly(led: Led, browser: Browser, is_open: bool) -> None:
    """Lists, emphasis and code, the same while it comes, after a reload and without scripts."""
    chat = led.chat
    generation = await led.ask("think")
    for at in range(0, len(THOUGHTS), 5):
        generation.say(THOUGHTS[at : at + 5], kind="reasoning")
    if is_open:
        await line(chat.page).click()
    await expect(thoughts(chat.page).locator("strong")).to_have_text("Plan")
    generation.say("Yes.")
    generation.finish()
    await chat.ends("complete")
    await expect(thoughts(chat.page)).to_contain_text("Done thinking.")
    live = await thoughts(chat.page).evaluate(ELEMENTS)
    assert "strong Plan" in live
    assert "li weighx" in live
    await chat.page.reload()
    await chat.alive()
    assert await thoughts(chat.page).evaluate(ELEMENTS) == live
    await expect(thoughts(chat.page)).to_be_visible(visible=is_open)
    plain = await (await browser.new_context(java_script_enabled=False)).new_page()
    await plain.goto(chat.page.url)
    assert await thoughts(plain).locator("strong").text_content() == "Plan"
    assert await thoughts(plain).locator("li").count() == 2
    await plain.context.close()


async def test_the_caret_goes_on_in_the_answer(led: Led) -> None:
    """There is one: behind the reasoning while that goes on, then behind the text."""
    caret = """() => Array.from(document.querySelectorAll(".tail > p:last-child"),
        (each) => getComputedStyle(each, "::after").content !== "none")"""
    generation = await led.ask("think")
    generation.say("Hm", kind="reasoning")
    await line(led.chat.page).click()
    await expect(thoughts(led.chat.page)).to_have_text("Hm")
    assert await led.chat.page.evaluate(caret) == [True]
    generation.say("Yes")
    await expect(led.chat.text()).to_have_text("Yes")
    await expect(line(led.chat.page).locator(".pulse")).to_be_hidden()
    assert await led.chat.page.evaluate(caret) == [False, True]
