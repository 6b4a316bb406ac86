"""A chat of a thousand messages: its page brings the newest, and the reader misses none of the others."""

from __future__ import annotations

from playwright.async_api import Browser, BrowserContext, Page, expect

from app.web.api.message_range import MESSAGES
from tests.browser.chat import Chat
from tests.support.long_chat import import_long
from tests.support.server import LiveServer

EXCHANGES = 500
LONGEST = 60_000  # ms until Chromium has laid out a thousand messages, on a machine with other work
ANSWER = "an answer\n\n" + "of some lines\n\n" * 10
PROMPTS = """Array.from(document.querySelectorAll("article[data-role=user] [data-part=content]"))
    .map((each) => each.textContent)"""
# Where the first prompt of the page's newest part stands on the screen.
PLACE = """(text) => Array.from(document.querySelectorAll("article[data-role=user]"))
    .find((each) => each.querySelector("[data-part=content]").textContent === text).getBoundingClientRect().y"""
# Whether all prompts are there: some time after the keys of a search, and at once when a print begins. Tried until the
# script that hears of it has been loaded.
FOUND = """(count) => {
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "f", ctrlKey: true, bubbles: true }));
    return document.querySelectorAll("article[data-role=user]").length === count;
}"""
PRINTED = """(count) => {
    const before = document.querySelectorAll("article[data-role=user]").length;
    dispatchEvent(new Event("beforeprint"));
    return before < count && document.querySelectorAll("article[data-role=user]").length === count;
}"""
SCROLL = "(top) => { document.querySelector('[role=log]').scrollTop = top; }"


async def opened(context: BrowserContext, server: LiveServer, exchanges: int = EXCHANGES) -> Chat:
    """The page of a long chat."""
    chat = Chat(await context.new_page(), server.url)
    await chat.open(f"/sessions/{await import_long(server.client, exchanges, ANSWER)}")
    await expect(chat.prompts.last).to_have_text(f"prompt {exchanges}")
    return chat


async def all_prompts(page: Page, count: int) -> None:
    """Wait until a page has the first prompt; it then has all of them, once and in order."""
    await expect(page.get_by_text("prompt 1", exact=True)).to_be_attached()
    assert await page.evaluate(PROMPTS) == [f"prompt {number}" for number in range(1, count + 1)]


async def test_scrolling_up_brings_earlier_messages(context: BrowserContext, server: LiveServer) -> None:
    """Part by part, and what the reader looks at stays where it is."""
    chat = await opened(context, server)
    assert await chat.prompts.count() == MESSAGES // 2
    first = f"prompt {EXCHANGES - MESSAGES // 2 + 1}"
    await expect(chat.prompts.first).to_have_text(first)
    await chat.page.evaluate(SCROLL, 1500)
    before = await chat.page.evaluate(PLACE, first)
    await chat.page.evaluate(SCROLL, 1000)
    await expect(chat.prompts).to_have_count(MESSAGES)
    assert abs(await chat.page.evaluate(PLACE, first) - before - 500) <= 1
    await chat.page.evaluate(SCROLL, 0)
    await expect(chat.prompts).to_have_count(MESSAGES * 3 // 2)
    await expect(chat.prompts.last).to_have_text(f"prompt {EXCHANGES}")


async def test_the_focus_stays_where_earlier_messages_were_asked_for(
    context: BrowserContext, server: LiveServer
) -> None:
    """The link is gone then; the message that was below it has the focus."""
    chat = await opened(context, server)
    first = f"prompt {EXCHANGES - MESSAGES // 2 + 1}"
    link = chat.page.get_by_role("link", name="Show earlier messages")
    await link.evaluate("(link) => { link.focus({ preventScroll: true }); link.click(); }")
    await all_prompts(chat.page, EXCHANGES)
    await expect(chat.page.locator(".message", has=chat.page.get_by_text(first, exact=True))).to_be_focused()


async def test_scrolling_to_the_top_ends_at_the_first_message(
    context: BrowserContext, server: LiveServer
) -> None:
    """Then there is nothing more to load, and the line that says so is gone."""
    chat = await opened(context, server, 50)
    while await chat.prompts.count() < 50:
        known = await chat.prompts.count()
        await chat.page.evaluate(SCROLL, 0)
        await expect(chat.prompts).not_to_have_count(known)
    await all_prompts(chat.page, 50)
    await expect(chat.page.get_by_text("Show earlier messages")).to_be_hidden()


async def test_a_search_of_the_page_finds_everything(context: BrowserContext, server: LiveServer) -> None:
    """With the keys of the browser's search all messages come, before a word can have been typed."""
    chat = await opened(context, server)
    await chat.page.wait_for_function(FOUND, arg=EXCHANGES, polling=500, timeout=LONGEST)
    await all_prompts(chat.page, EXCHANGES)


async def test_only_open_editors_are_in_the_page(context: BrowserContext, server: LiveServer) -> None:
    """A browser looks at each form of a page, to fill it in: with a thousand of them that took seconds."""
    chat = await opened(context, server, 50)
    forms = chat.page.locator("form[data-part=edit-form]")
    await expect(forms).to_have_count(0)
    article = chat.page.locator("article[data-role=user]").last
    await article.get_by_text("Edit", exact=True).click()
    await expect(article.get_by_label("Edit message")).to_be_focused()
    await expect(article.get_by_label("Edit message")).to_have_value("prompt 50")
    await article.get_by_label("Edit message").fill("something else")
    await article.get_by_label("Edit message").press("Escape")
    await expect(forms).to_have_count(0)
    await article.get_by_text("Edit", exact=True).click()
    await expect(article.get_by_label("Edit message")).to_have_value("prompt 50")


async def test_a_print_has_everything(context: BrowserContext, server: LiveServer) -> None:
    """The first message is in it as well as the last."""
    chat = await opened(context, server, 100)
    await chat.page.wait_for_function(PRINTED, arg=100, polling=50)
    await all_prompts(chat.page, 100)


async def test_a_reload_keeps_the_readers_place(context: BrowserContext, server: LiveServer) -> None:
    """A page with earlier messages on it comes back with them."""
    chat = await opened(context, server)
    await chat.page.evaluate(SCROLL, 0)
    await expect(chat.prompts).to_have_count(MESSAGES)
    first = await chat.prompts.first.text_content()
    assert first is not None
    await chat.page.evaluate(SCROLL, 3000)
    before = await chat.page.evaluate(PLACE, first)
    await chat.page.reload()
    await chat.alive()
    await expect(chat.prompts.first).to_have_text(first)
    assert abs(await chat.page.evaluate(PLACE, first) - before) <= 1


async def test_a_long_chat_goes_on(context: BrowserContext, server: LiveServer) -> None:
    """A prompt is answered, and the first one on the page is edited in its place."""
    chat = await opened(context, server)
    await chat.ask("and more", "echo")
    await chat.ends("complete")
    first = f"prompt {EXCHANGES - MESSAGES // 2 + 1}"
    article = chat.page.locator("article[data-role=user]", has=chat.page.get_by_text(first, exact=True))
    editor = await article.get_by_text("Edit", exact=True).element_handle()
    assert editor is not None
    await editor.evaluate("(summary) => summary.click()")  # without scrolling there
    await article.get_by_label("Edit message").fill("instead")
    await article.get_by_label("Edit message").press("Control+Enter")
    await chat.ends("complete")
    await chat.page.reload()
    await chat.alive()
    await expect(chat.prompts.last).to_have_text("instead")
    await expect(chat.prompts.nth(-2)).to_have_text(f"prompt {EXCHANGES - MESSAGES // 2}")


async def test_without_scripts_a_link_shows_everything(browser: Browser, server: LiveServer) -> None:
    """The page is short, and the link leads to one with all messages."""
    session_id = await import_long(server.client, 100, ANSWER)
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{server.url}/sessions/{session_id}")
    await expect(page.locator("article[data-role=user]")).to_have_count(MESSAGES // 2)
    await page.get_by_text("Show earlier messages").click()
    await expect(page.locator("article[data-role=user]")).to_have_count(100)
    await context.close()
