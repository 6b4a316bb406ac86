"""Reading while an answer comes: what is selected, opened or looked at stays as it is."""

from __future__ import annotations

import re

from playwright.async_api import expect

from tests.browser.chat import Chat
from tests.browser.test_writing import hide
from tests.support.server import LiveServer

PARAGRAPHS = "\n\n".join(f"paragraph {number} with some words" for number in range(12))
# Select what is painted of the paragraph that is being written.
SELECT = """() => {
    const painted = document.querySelector(".tail > p");
    if (!painted) return null;
    getSelection().selectAllChildren(painted);
    return String(getSelection());
}"""


async def test_a_selection_outlives_the_end_of_its_block(chat: Chat) -> None:
    """Its paragraph closes, others follow, the answer ends: what was selected is selected still."""
    await chat.ask(PARAGRAPHS, "echo")
    await chat.streams()
    selected = await (await chat.page.wait_for_function(SELECT)).json_value()
    await chat.ends("complete")
    assert (await chat.page.evaluate("String(getSelection())")).startswith(selected)
    await chat.page.evaluate("getSelection().removeAllRanges()")
    await expect(chat.text().locator(".tail")).to_be_empty()
    await expect(chat.text().locator(".block > p")).to_have_text(PARAGRAPHS.split("\n\n"))


async def test_the_end_of_an_answer_moves_nothing(chat: Chat) -> None:
    """The last block takes the place of the tail: what was painted stands where it stood."""
    await chat.ask("hello", "hang-middle")
    await expect(chat.text()).to_have_text("It begins well, and then")
    before = await chat.text().bounding_box()
    await chat.stop.click()
    await chat.ends("stopped")
    await expect(chat.text().locator(".block > p")).to_have_text("It begins well, and then")
    after = await chat.text().bounding_box()
    assert before == after


async def test_the_toggle_of_the_reasoning_is_the_readers(chat: Chat) -> None:
    """Opened while the model thinks it stays open to the end and over a reload, and closed stays closed."""
    await chat.ask("what is the answer", "reasoning")
    box, first = (chat.answer(place).locator("details.reasoning") for place in (-1, 0))
    await box.locator("summary").click()
    await chat.ends("complete")
    await expect(box).to_have_attribute("open", re.compile(".*"))
    await chat.ask("and again", "reasoning")
    await chat.ends("complete", 1)
    for _ in range(2):
        await expect(box).not_to_have_attribute("open", re.compile(".*"))
        await expect(first).to_have_attribute("open", re.compile(".*"))
        await chat.page.reload()
    await first.locator("summary").click()
    await chat.page.reload()
    await expect(first).not_to_have_attribute("open", re.compile(".*"))


async def test_a_tab_that_comes_back_has_everything(chat: Chat, server: LiveServer) -> None:
    """What happened while nobody looked is there, and was not asked for meanwhile."""
    await chat.ask("hello", "short")
    await chat.ends("complete")
    session = chat.page.url.rpartition("/")[2]
    await chat.page.evaluate(hide(True))
    for prompt in ("one", "two"):
        await server.client.ask(session, prompt, model="scripted/echo")
    await expect(chat.prompts).to_have_text(["hello"])
    await chat.page.evaluate(hide(False))
    await expect(chat.prompts).to_have_text(["hello", "one", "two"])
    await chat.ends("complete", 2)
    assert [(await chat.words(number)).strip() for number in (1, 2)] == ["one", "two"]
