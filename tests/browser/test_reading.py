"""Reading while an answer comes: what is selected, opened or looked at stays as it is."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.chat import Chat
from tests.browser.puppets import Led
from tests.browser.test_writing import hide
from tests.support.server import LiveServer
from tests.support.waiting import until_told

PARAGRAPHS = "\n\n".join(f"paragraph {number} with some words" for number in range(12))
# Select what is painted of the paragraph that is being written.
SELECT = """() => {
    const painted = document.querySelector(".tail > p");
    if (!painted) return null;
    getSelection().selectAllChildren(painted);
    return String(getSelection());
}"""

# Where everything stands that is seen of the first block of an answer, be it open or closed.
BOXES = """() => {
    const content = document.querySelector("[data-role=assistant] [data-part=content]");
    const block = content.querySelector(".block") ?? content.querySelector(".tail");
    const isItsText = (p) => p.matches("li > p:first-child") && !p.previousSibling?.data.trim(); // of an item
    const found = block.querySelectorAll("p, h3, ul, ol, li, .task, pre, code, table, tr, th, td, blockquote");
    return Array.from(found).filter((each) => !isItsText(each)).map((each) => {
        const { x, y, width, height } = each.getBoundingClientRect();
        return [each.localName, x, y, width, height];
    });
}"""

# Collect the lengths that the conversation had at the end of each frame in which it changed.
COUNT_FRAMES = """() => {
    const log = document.querySelector("[role=log]");
    let frame = 0;
    const next = () => { frame += 1; requestAnimationFrame(next); };
    next();
    window.changed = {};
    new MutationObserver(() => { changed[frame] = log.textContent.length; })
        .observe(log, { childList: true, characterData: true, subtree: true });
}"""


async def test_a_selection_outlives_the_end_of_its_block(led: Led) -> None:
    """Its paragraph closes, others follow, the answer ends: what was selected is selected still."""
    chat, generation = led.chat, await led.ask("go")
    first, others = PARAGRAPHS.split("\n\n", 1)
    generation.say(first)
    selected = await (await chat.page.wait_for_function(SELECT)).json_value()
    generation.say(f"\n\n{others}")
    generation.finish()
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


@pytest.mark.parametrize(
    ("block", "end"),
    [
        ("A *wheel* and `water` and [more](https://example.org). " * 5 + "last", ""),
        ("## A wheel and the last", ""),
        ("```python\ndef mill(water: int) -> int:\n    return water  # last of all", "\n```"),
        ("| wheel | water |\n|---|---|\n| overshot | from **above** |\n| undershot | last |", ""),
        ("- a wheel\n- and water\n  - from above\n  - from below\n- last", ""),
        ("1. a wheel\n2. last", ""),
        ("> What has passed the wheel\n> is free at last", ""),
        ("A wheel  \nand **water  \nfrom** above\\\nis the last", ""),
        (f"- a wheel\n\n  {'and its water ' * 9}\n\n- from above\n  - or below\n\n    or last", ""),
        ("1. a wheel\n\n   ```py\n   mill = 1\n\n   # last\n   ```", ""),
        ("- a wheel\n  ```py\n  mill = 1\n  ```\n- and last", ""),
        (f"- [ ] a wheel\n- [x] {'and its water ' * 9}\n  - [X] from above\n\n- or\n  1. [x] the last", ""),
    ],
    ids=[
        *("paragraph", "heading", "code", "table", "list", "numbers", "quote"),
        *("breaks", "paragraphs in a list", "code in a loose list", "code in a list", "tasks"),
    ],
)
async def test_the_close_of_a_block_moves_nothing(led: Led, block: str, end: str) -> None:
    """What is painted of it stands where it stood: when the next one begins, and when the answer has ended."""
    generation = await led.ask("go")
    generation.say(block)
    await expect(led.chat.text().locator(".tail")).to_contain_text("last")
    await led.chat.page.wait_for_function(
        f"() => ({BOXES})().length > 0"
    )  # its painter is loaded after the page
    painted = await led.chat.page.evaluate(BOXES)
    generation.say(f"{end}\n\n{'Another one. ' * 40}\n\nThe end")
    await expect(led.chat.text().locator(".block").first).to_be_attached()
    assert await led.chat.page.evaluate(BOXES) == painted
    generation.finish()
    await led.chat.ends("complete")
    await expect(led.chat.text().locator(".block")).to_have_count(3)
    assert await led.chat.page.evaluate(BOXES) == painted


async def test_reasoning_that_grows_moves_nothing_above(led: Led) -> None:
    """Folded it takes one line however much there is; a reader of what is above sees nothing move."""
    generation = await led.ask("think")
    generation.say("First thought. ", kind="reasoning")
    box = led.chat.answer().locator("details.reasoning")
    await expect(box).to_be_visible()
    before = [await each.bounding_box() for each in (led.chat.prompts, box)]
    generation.say(*["And another thought.\n" * 20] * 10, kind="reasoning")
    await expect(box.locator("[data-part=reasoning]")).to_contain_text("another")
    generation.say("Done.")
    await expect(led.chat.text()).to_have_text("Done.")
    assert [await each.bounding_box() for each in (led.chat.prompts, box)] == before


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


@pytest.mark.parametrize("what", ["reasoning", "answer"])
async def test_what_is_unfolded_stays_in_its_place(led: Led, what: str) -> None:
    """More of the answer comes below, and is not followed: the reader reads what was unfolded."""
    chat, generation = led.chat, await led.ask("go")
    if what == "reasoning":
        generation.say(PARAGRAPHS * 4, kind="reasoning")
        generation.say("An answer.\n\nMore of it ")
    else:
        generation.say(
            f"<details>\n<summary>A list</summary>\n\n{PARAGRAPHS * 4}\n\n</details>\n\nMore of it "
        )
    await expect(chat.text()).to_contain_text("More of it")
    summary = (chat.answer() if what == "reasoning" else chat.text()).locator("summary").first
    place = await summary.bounding_box()
    await summary.click()
    await expect(chat.jump).to_be_visible()
    generation.say("and more\n\nand the last")
    await expect(chat.text()).to_contain_text("and the last")
    assert await summary.bounding_box() == place


async def test_reasoning_that_is_unfolded_before_its_answer_is_followed(led: Led) -> None:
    """The reader sees the newest thought."""
    chat, generation = led.chat, await led.ask("think")
    generation.say("First thought.\n\n", kind="reasoning")
    await chat.answer().locator("details.reasoning > summary").click()
    generation.say(PARAGRAPHS * 4, "\n\nA last thought.", kind="reasoning")
    await expect(chat.answer().get_by_text("A last thought.")).to_be_in_viewport()
    await expect(chat.jump).to_be_hidden()


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


async def test_a_backlog_comes_at_once(led: Led) -> None:
    """A page that was left does not play again what it has missed: all of it is there in one frame."""
    chat, generation = led.chat, await led.ask("go")
    first, others = PARAGRAPHS.split("\n\n", 1)
    generation.say(first)
    await chat.streams()

    async def has_ended() -> bool:
        session = await chat.page.request.get(chat.page.url.replace("/sessions/", "/api/sessions/"))
        return (await session.json())["running"] is None

    await chat.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    generation.say(*(f"{word} " for word in f"\n\n{others}".split(" ")))
    generation.finish()
    await until_told(has_ended)
    await chat.page.evaluate(COUNT_FRAMES)
    await chat.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await chat.ends("complete")
    await expect(chat.text().locator(".block > p")).to_have_text(PARAGRAPHS.split("\n\n"))
    changed = await chat.page.evaluate("changed")
    assert len(changed) == 1, changed


async def test_a_late_link_is_a_link_in_the_end(chat: Chat) -> None:
    """Its address comes after the block that uses it: at the end the page shows what it shows after a reload."""
    source = "See [the mill] and its race.\n\nMore of it.\n\n[the mill]: https://mill.example/\n\nThe end."
    await chat.ask(source, "echo")
    await chat.ends("complete")
    link = chat.text().get_by_role("link", name="the mill")
    await expect(link).to_have_attribute("href", "https://mill.example/")
    live = await chat.text().inner_html()
    await chat.page.reload()
    await chat.alive()
    await expect(link).to_have_attribute("href", "https://mill.example/")
    assert await chat.text().inner_html() == live
