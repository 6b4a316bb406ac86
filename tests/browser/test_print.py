"""On paper a chat is whole, whatever of it is in sight on the screen, and is nothing but the chat."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page

from tests.browser.chat import Chat
from tests.browser.printed import MARKERS, Paper, archive, paper, unspaced
from tests.support.server import LiveServer

CONTROLS = [
    *("New chat", "Search", "Preferences", "Send", "Stop", "Copy", "Regenerate", "Retry", "Continue", "Edit"),
    *("Show more", "Jump to latest", "Keyboard shortcuts", "Skip to"),
]
MARGIN = 40  # points; the style sheet asks for 16 mm, which are 45


async def imported(server: LiveServer) -> str:
    """Bring in the chat that is printed; return its address."""
    async with server.client.http.post("/api/sessions/import", json=archive()) as answer:
        return f"/sessions/{(await answer.json())['session_id']}"


def assert_dark_on_white(printed: Paper) -> None:
    """Nothing but white in the margins, and on each page something dark between them."""
    for number in range(len(printed)):
        rows = printed.rows(number)
        sides = b"".join(row[:MARGIN] + row[-MARGIN:] for row in rows)
        assert set(sides) == {255}, f"something is cut off, or the ground is not white, on page {number}"
        assert min(b"".join(rows)) < 100, f"page {number} is empty"


def assert_whole(printed: Paper) -> None:
    """All that was said, and nothing that can be pressed."""
    text = printed.text
    assert [marker for marker in MARKERS if unspaced(marker) not in text] == []
    assert [words for words in CONTROLS if unspaced(words) in text] == []
    assert unspaced("Wheels and water") in text
    assert printed.pictures == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_whole_chat_is_printed_dark_on_white(
    browser: Browser, server: LiveServer, scheme: str
) -> None:
    """Prompts are not folded, code and tables are as wide as the paper, pictures below the screen are there."""
    context = await browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    chat = Chat(await context.new_page(), server.url)
    await chat.open(await imported(server))
    with paper(await chat.page.pdf(format="A4")) as printed:
        assert len(printed) > 4
        assert_whole(printed)
        assert_dark_on_white(printed)
    await context.close()


async def test_the_chosen_theme_is_for_the_screen(browser: Browser, server: LiveServer) -> None:
    """Whoever has chosen dark saves the ink all the same."""
    context = await browser.new_context()
    await context.add_cookies([{"name": "tailrace_theme", "value": "dark", "url": server.url}])
    chat = Chat(await context.new_page(), server.url)
    await chat.open(await imported(server))
    assert await chat.page.get_attribute("html", "data-theme") == "dark"
    with paper(await chat.page.pdf(format="A4")) as printed:
        assert_dark_on_white(printed)
    await context.close()


async def test_without_scripts_it_is_the_same(browser: Browser, server: LiveServer) -> None:
    """The style sheet does it."""
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(server.url + await imported(server))
    with paper(await page.pdf(format="A4")) as printed:
        assert_whole(printed)
        assert_dark_on_white(printed)
    await context.close()


async def words(page: Page) -> str:
    """Return what would be read on paper."""
    with paper(await page.pdf(format="A4")) as printed:
        return printed.text


async def test_what_is_open_on_the_screen_is_not_in_the_way(chat: Chat, server: LiveServer) -> None:
    """A panel covers nothing, an editor takes no prompt's place; reasoning is printed if it is unfolded."""
    await chat.open(await imported(server))
    assert unspaced("I think of wheels") not in await words(chat.page)
    await chat.page.get_by_text("Edit", exact=True).last.click()
    await chat.page.locator(".reasoning > summary").first.click()
    await chat.page.get_by_role("button", name="Preferences").click()
    text = await words(chat.page)
    assert unspaced("And the rest?") in text
    assert unspaced("I think of wheels") in text
    assert "Appearance" not in text
