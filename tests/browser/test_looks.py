"""Where things stand on the page: in sight, in reach, not over one another, and not broken in two."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, FloatRect, Locator, expect

from tests.benchmarks.page.stage import seen
from tests.browser.chat import TWO_FRAMES, Chat
from tests.browser.puppets import Led
from tests.support.server import LiveServer

PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
LISTING = "```py\n" + "number = 1\n" * 80 + "```"
WIDE = "\n".join(f"| {' | '.join([cell] * 12)} |" for cell in ("a number", "---", "value 0.10"))
# The height of each row of the last answer's table, in lines.
LINES = """() => Array.from(document.querySelectorAll("article:last-of-type tr"), (row) => {
    const style = getComputedStyle(row.cells[0]);
    const padding = parseFloat(style.paddingTop) + parseFloat(style.paddingBottom);
    return Math.round((row.clientHeight - padding) / parseFloat(style.lineHeight));
})"""
SCROLLED = "document.querySelector('.block:has(> table)').scrollLeft > 0"

# What has a side, in Arabic, in English, and in one of them within the other. Each begins with a letter of its own.
TWO_WAYS = """- عنصر أول
- Python: لغة برمجة
- [x] تم
  1. واحد
  2. two

> اقتباس من كتاب
>
> a quote in it

> - قائمة في اقتباس

| العنوان | القيمة |
|---|---|
| أول | one |

<details open>
<summary>المزيد</summary>

text

</details>

[^1]: ملاحظة

- one
  - عنصر
- مرحبا

> quote

| a | عربي |
|---|---|
| 1 | أول |
"""
# How far each text stands from the side where its list, quote, table, fold or footnote begins, and which side that is.
ASIDE = """(answer) => {
    const texts = answer.querySelectorAll("li, blockquote > p, th, td, summary, details > p, .footnote > p");
    return Array.from(texts, (element) => {
        const text = Array.from(element.childNodes).find((each) => each.nodeType === 3 && each.data.trim());
        const range = document.createRange();
        range.selectNodeContents(text);
        const { left, right } = range.getBoundingClientRect(), box = element.getBoundingClientRect();
        const { paddingLeft, paddingRight } = getComputedStyle(element);
        const isRight = getComputedStyle(element.closest("[dir]")).direction === "rtl";
        const gap = isRight ? box.right - parseFloat(paddingRight) - right : left - box.left - parseFloat(paddingLeft);
        return [text.data.trim(), isRight, Math.round(gap)];
    });
}"""
# The side of the bar of each quote, and of the bullets of each list; whether columns go from right to left.
SIDES = """(answer) => Array.from(answer.querySelectorAll("blockquote, ul, ol, table, .footnote")).map((element) => {
    const { borderRightWidth: bar, paddingRight: bullets } = getComputedStyle(element);
    const box = element.getBoundingClientRect(), outer = element.parentElement.getBoundingClientRect();
    const [first, last] = element.querySelectorAll("th, .footnote > *");
    const isReversed = first && first.getBoundingClientRect().x > last.getBoundingClientRect().x;
    if (element.localName === "table" && isReversed && box.right !== outer.right) return "at the wrong edge";
    return Boolean(first ? isReversed : element.localName === "blockquote" ? parseFloat(bar) : parseFloat(bullets));
})"""

# The direction of each field for words, once it has that text.
DIRECTIONS = """(text) => Array.from(document.querySelectorAll("textarea, .rename, #search"), (field) => {
    field.value = text;
    return [field.id || field.className || field.name, getComputedStyle(field).direction];
})"""

# What is seen where the browser replaces the colours: shapes and chosen items that stand out, and edges.
FORCED = """() => {
    const of = (selector, part) => getComputedStyle(document.querySelector(selector), part);
    const ground = getComputedStyle(document.body).backgroundColor;
    const lost = [
        [".stop", "::before"], [".copy-code", "::before"], [".tail > p", "::after"], [".tune", "::after"], [".pulse"],
        [".segments :checked + span"],
    ].filter(([selector, part]) => of(selector, part).backgroundColor === ground);
    const edgeless = [
        ["[data-role=user] > .text", "borderTopStyle"], [".box", "outlineStyle"], ["#sessions li", "outlineStyle"],
    ].filter(([selector, edge]) => of(selector)[edge] === "none");
    return [lost.flat().join(""), edgeless.join(", "), of(".send").backgroundColor === ground];
}"""


async def place(found: Locator) -> FloatRect:
    """Return where an element stands, once it is there to be seen."""
    await expect(found).to_be_visible()
    box = await found.bounding_box()
    assert box is not None
    return box


async def test_a_wide_table_breaks_no_figure_from_its_unit(chat: Chat) -> None:
    """It is scrolled instead, by the keyboard too."""
    await chat.ask(WIDE, "echo")
    await chat.ends("complete")
    assert await chat.page.evaluate(LINES) == [1, 1]
    await chat.text().locator("table").focus()
    await chat.page.keyboard.press("ArrowRight")
    await seen(chat.page, SCROLLED)
    assert await chat.page.evaluate("document.documentElement.scrollWidth") == 1280


async def test_bullets_bars_and_columns_stand_on_the_side_of_their_text(led: Led) -> None:
    """In both directions, however a line begins, while the answer grows and after a reload; on paper, too."""
    chat, generation = led.chat, await led.ask("question")
    generation.say(TWO_WAYS)
    await expect(chat.text().locator("td").last).to_have_text("أول")
    growing = [await chat.text().evaluate(ASIDE), await chat.text().evaluate(SIDES)]
    generation.finish()
    await chat.ends("complete")
    live = await chat.text().inner_html()
    ended = [await chat.text().evaluate(ASIDE), await chat.text().evaluate(SIDES)]
    assert ended == growing
    texts, sides = ended
    assert [(words, gap) for words, _, gap in texts if words not in ("المزيد", "تم") and abs(gap) > 1] == []
    arabic = [is_right for _, is_right, _ in texts]
    assert arabic[: arabic.index(False)] == [True] * 15
    assert sides == [True] * 7 + [False, True, False, False]
    await chat.page.reload()
    await chat.alive()
    assert await chat.text().inner_html() == live
    await chat.page.emulate_media(media="print")
    assert await chat.text().evaluate(SIDES) == sides


async def test_what_is_typed_takes_its_direction_from_its_first_letter(chat: Chat) -> None:
    """In each field for text, also that for a new title, and in titles, which stay on their side."""
    await chat.ask("سؤال (اختبار)", "short")
    await chat.ends("complete")
    page = chat.page
    await page.get_by_text("Edit", exact=True).click()
    await page.get_by_role("link", name="Chat options for “سؤال (اختبار)”").focus()
    await page.keyboard.press("Enter")
    title, entry = page.get_by_role("heading", level=1), page.locator("#sessions .session")
    for shown in (title, entry):
        assert await shown.evaluate("(shown) => getComputedStyle(shown).direction") == "rtl"
        assert await shown.evaluate("(shown) => getComputedStyle(shown).textAlign") == "left"
    await page.get_by_role("button", name="Rename").click()
    await page.locator(".rename").wait_for()
    fields = ["search", "rename", "prompt", "prompt", "system", "stop"]
    assert await page.evaluate(DIRECTIONS, "اسم") == [[name, "rtl"] for name in fields]
    assert await page.evaluate(DIRECTIONS, "name") == [[name, "ltr"] for name in fields]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_is_lost_where_the_browser_chooses_the_colours(led: Led, scheme: str) -> None:
    """Icons, the caret, dots, the edge of a prompt, what is chosen and what has the focus."""
    chat = led.chat
    await chat.page.emulate_media(
        forced_colors="active", color_scheme="dark" if scheme == "dark" else "light"
    )
    generation = await led.ask("question")
    generation.say("```py\nnumber = 1\n```\n\nIt grows")
    await expect(chat.text().locator(".tail > p")).to_have_text("It grows")
    await expect(chat.text().locator(".copy-code")).to_be_attached()
    await chat.page.get_by_role("button", name="Chat settings").click()
    await chat.page.get_by_label("System prompt").fill("Be brief.")
    await chat.page.get_by_role("button", name="Done").click()
    await chat.box.focus()
    assert await chat.page.evaluate(FORCED) == ["", "", True]
    generation.finish()
    await chat.ends("complete")


async def test_a_long_listing_is_copied_from_anywhere_in_it(chat: Chat) -> None:
    """Its button stays in sight while it is scrolled by, and takes no room."""
    await chat.ask(LISTING, "echo")
    await chat.ends("complete")
    button, code = chat.text().locator(".copy-code"), chat.text().locator("code")
    await expect(button).to_be_attached()  # a long listing is coloured in a thread, and may come late
    assert (await place(code))["height"] == (await place(chat.text().locator("pre")))["height"] - 2
    await code.hover()
    await chat.page.mouse.wheel(0, -100)  # whoever has gone up is left there
    await expect(chat.page.get_by_role("button", name="Jump to latest")).to_be_visible()
    await code.evaluate(
        "(code) => { code.closest('.scroll').scrollTop += code.getBoundingClientRect().top + 300; }"
    )
    await expect(button).to_be_in_viewport(ratio=0.95)
    await expect(chat.text().locator("pre")).not_to_be_in_viewport(ratio=1)


async def test_an_undo_covers_no_button(chat: Chat, server: LiveServer) -> None:
    """It stands over the list that it speaks of, and not beyond its edge."""
    await server.client.ask("s0", "Rivers", model="scripted/short")
    await chat.open("/sessions/s0")
    await chat.page.locator("#sessions li").hover()
    await chat.page.get_by_role("link", name="Chat options for “Rivers”").click()
    await chat.page.get_by_role("button", name="Delete").click()
    toast, foot = await place(chat.page.locator(".toast")), await place(chat.page.locator(".sidebar-foot"))
    assert toast["y"] + toast["height"] <= foot["y"]
    assert toast["x"] + toast["width"] <= (await place(chat.page.locator(".sidebar")))["width"]


async def test_an_editor_is_left_where_it_is_sent(chat: Chat) -> None:
    """Cancel and Send stand side by side."""
    await chat.ask("hello", "short")
    await chat.ends("complete")
    await chat.page.get_by_text("Edit", exact=True).click()
    editor = chat.page.locator(".edit")
    send = await place(editor.get_by_role("button", name="Send"))
    cancel = await place(editor.get_by_text("Cancel"))
    assert send["y"] <= cancel["y"] <= send["y"] + send["height"]
    assert 0 < send["x"] - cancel["x"] - cancel["width"] < 40


async def test_a_long_answer_can_be_stopped_without_scripts(browser: Browser, server: LiveServer) -> None:
    """However far somebody has read, Stop is in sight."""
    context = await browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 300})
    plain = Chat(await context.new_page(), server.url)
    await plain.page.goto(server.url)
    await plain.choose("long")
    await plain.box.fill("tell a long story")
    await plain.send.click()
    await seen(plain.page, "document.querySelector('.scroll')?.scrollHeight > 700")
    await plain.page.evaluate("document.querySelector('.scroll').scrollTop = 350")
    await expect(plain.prompts).not_to_be_in_viewport()
    await expect(plain.stop).to_be_in_viewport(ratio=1)
    await plain.stop.click()
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def lying(browser: Browser, server: LiveServer) -> AsyncIterator[Chat]:
    """A session with an answer, on a phone on its side."""
    await server.client.ask("s0", "Rivers", model="scripted/short")
    context = await browser.new_context(
        viewport={"width": 844, "height": 390}, has_touch=True, is_mobile=True
    )
    chat = Chat(await context.new_page(), server.url)
    await chat.open("/sessions/s0")
    yield chat
    await context.close()


async def test_a_phone_on_its_side_shows_the_conversation(lying: Chat) -> None:
    """The sessions are out of the way, and most of the height is to be read in."""
    await expect(lying.page.locator("#sidebar")).to_be_hidden()
    assert (await place(lying.page.locator(".scroll")))["height"] > 390 / 2
    await lying.page.get_by_role("button", name="Chat settings").tap()
    await expect(lying.page.get_by_role("button", name="Done")).to_be_in_viewport(ratio=1)


async def test_what_is_done_with_a_message_is_large_enough_for_a_finger(lying: Chat) -> None:
    """Copy, Regenerate and Edit are as high as a fingertip."""
    for name in ("Copy", "Regenerate", "Edit"):
        found = lying.page.locator("button:visible, summary:visible").filter(has_text=name)
        assert (await place(found))["height"] >= 40


async def test_a_finger_that_copies_code_covers_none(lying: Chat) -> None:
    """On a touch screen the button is always visible, so it stands above the code."""
    await lying.choose("echo")
    await lying.box.fill("```py\nnumber = 1\n```")
    await lying.send.tap()
    await lying.ends("complete", 1)
    button = await place(lying.text(1).locator(".copy-code"))
    first: float = (
        await lying.text(1).locator("pre .lines").evaluate("(line) => line.getBoundingClientRect().top")
    )
    assert button["y"] + button["height"] <= first


async def test_a_lost_connection_is_told_where_the_answer_grows(chat: Chat) -> None:
    """Under the text, over the message box; nothing moves for it."""
    await chat.ask("hello", "hang-middle")
    await expect(chat.text()).to_have_text("It begins well, and then")
    before = await place(chat.text())
    link = chat.page.locator("[data-part=link]")
    await link.evaluate("(link) => { link.hidden = false; }")
    told = await place(link)
    assert before == await place(chat.text())
    assert before["y"] + before["height"] <= told["y"]
    assert told["y"] + told["height"] <= (await place(chat.page.locator("[data-part=box]")))["y"]
    assert told["x"] == before["x"]
    await chat.stop.click()
    await chat.ends("stopped")


async def test_what_a_model_cannot_see_is_not_offered_before_scripts_run(
    browser: Browser, server: LiveServer
) -> None:
    """The button for images is hidden from the start; without scripts it stays, as the model may be changed."""
    await server.client.ask("s0", "Rivers", model="scripted/echo")
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{server.url}/sessions/s0")
    attach = page.locator("[data-part=attach]")
    await expect(attach).to_have_attribute("hidden", "")
    await expect(attach).to_be_visible()
    await context.close()


@pytest.mark.parametrize("width", [390, 1280])
async def test_the_way_back_down_covers_nothing(browser: Browser, server: LiveServer, width: int) -> None:
    """The button stands under the text, and what is read stays where it is when it comes and when it goes."""
    await server.client.ask(
        "s1", "\n\n".join(f"paragraph {number}" for number in range(80)), model="scripted/echo"
    )
    context = await browser.new_context(viewport={"width": width, "height": 800})
    chat = Chat(await context.new_page(), server.url)
    await chat.open("/sessions/s1")
    await chat.leave_end(300)
    box = await place(chat.jump)
    log = await place(chat.page.get_by_role("log"))
    composer = await place(chat.page.locator(".composer .box"))
    assert log["y"] + log["height"] <= box["y"]
    assert box["y"] + box["height"] <= composer["y"]
    link = chat.page.locator("[data-part=link]")
    await link.evaluate("(link) => { link.hidden = false; }")
    rows = [await place(each) for each in (chat.page.get_by_role("log"), chat.jump, link)]
    assert all(upper["y"] + upper["height"] <= lower["y"] for upper, lower in pairwise([*rows, composer]))
    await link.evaluate("(link) => { link.hidden = true; }")
    await chat.jump.click()
    await expect(chat.jump).to_be_hidden()
    await seen(
        chat.page,
        "(() => { const log = document.querySelector('[role=log]');"
        " return log.scrollHeight - log.clientHeight - log.scrollTop < 2; })()",
    )
    await context.close()


async def low_screen(browser: Browser, server: LiveServer, width: int, height: int) -> Chat:
    """Return a session with an answer in a small window."""
    await server.client.ask("s0", "Rivers", model="scripted/short")
    context = await browser.new_context(viewport={"width": width, "height": height})
    chat = Chat(await context.new_page(), server.url)
    await chat.open("/sessions/s0")
    return chat


@pytest.mark.parametrize("size", [(320, 568), (390, 844)])
async def test_many_images_leave_room_for_send(
    browser: Browser, server: LiveServer, size: tuple[int, int]
) -> None:
    """They scroll by themselves, so the message box stays on the screen."""
    chat = await low_screen(browser, server, *size)
    await chat.choose("vision")
    pictures: list[FilePayload] = [
        {"name": f"{number}.png", "mimeType": "image/png", "buffer": PNG} for number in range(32)
    ]
    await chat.page.locator("[data-part=files]").set_input_files(pictures)
    await expect(chat.page.locator(".thumbnails li")).to_have_count(32)
    await expect(chat.send).to_be_in_viewport(ratio=1)
    await expect(chat.box).to_be_in_viewport(ratio=1)
    await chat.page.locator(".thumbnails button").last.click()
    await expect(chat.page.locator(".thumbnails li")).to_have_count(31)
    await chat.page.context.close()


async def test_a_message_box_higher_than_the_screen_scrolls(browser: Browser, server: LiveServer) -> None:
    """As on a phone with large letters: the wheel over the box brings Send."""
    chat = await low_screen(browser, server, 320, 256)
    await chat.page.locator("[data-part=error]").evaluate(
        "(error) => { error.hidden = false; error.textContent = 'Wait until one of them has ended. '.repeat(4); }"
    )
    await chat.box.fill("\n".join(f"line {number}" for number in range(8)))
    await expect(chat.send).not_to_be_in_viewport()
    await chat.page.locator("[data-part=error]").hover()
    async with asyncio.timeout(15):
        while not await chat.page.evaluate(
            "document.querySelector('.send').getBoundingClientRect().bottom <= innerHeight"
        ):
            await chat.page.mouse.wheel(0, 100)
            await chat.page.evaluate(TWO_FRAMES)
    await expect(chat.send).to_be_in_viewport(ratio=1)
    await chat.page.context.close()


@pytest.mark.parametrize("is_open", [True, False], ids=["list", "chat"])
async def test_the_undo_covers_no_control_of_a_phone(
    browser: Browser, server: LiveServer, is_open: bool
) -> None:
    """Neither "New chat" nor the message box, with the list of chats open or not."""
    for name in ("s1", "s2"):
        await server.client.ask(name, f"hello {name}", model="scripted/short")
    context = await browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    chat = Chat(await context.new_page(), server.url)
    await chat.open("/sessions/s1")
    await chat.page.get_by_role("button", name="Open chat list").click()
    await chat.page.get_by_label("Chat options for “hello s2”").click()
    await chat.page.locator("#session-menu").get_by_text("Delete").click()
    toast = await place(chat.page.locator("[data-part=toast]"))
    if not is_open:
        await chat.page.get_by_role("button", name="Close chat list").click()
    controls = (
        [".new", "#search", "[data-session-id=s1] > .session"]
        if is_open
        else [".top .icon:last-child", ".box", ".top h1"]
    )
    for each in controls:
        box = await place(chat.page.locator(each).first)
        assert box["y"] + box["height"] <= toast["y"] or toast["y"] + toast["height"] <= box["y"], each
    await context.close()
