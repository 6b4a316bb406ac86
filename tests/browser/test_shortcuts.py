"""Keys that work everywhere on the page, the panels, and the way of the focus."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chat import Chat
from tests.support.server import LiveServer


async def test_a_question_mark_opens_the_help(chat: Chat) -> None:
    """Not while one types it; Escape closes the panel, and stops nothing."""
    panel = chat.page.locator("#help")
    await chat.box.press("?")
    await expect(chat.box).to_have_value("?")
    await expect(panel).to_be_hidden()
    await chat.box.blur()
    await chat.page.keyboard.press("?")
    await expect(panel).to_be_visible()
    await expect(panel.get_by_role("button", name="Close")).to_be_focused()
    await chat.page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()


async def test_single_keys_can_be_switched_off(chat: Chat) -> None:
    """Then the help opens with Ctrl, which works also while one types."""
    await chat.page.get_by_role("button", name="Preferences").click()
    await chat.page.get_by_label("Single-key shortcuts").uncheck()
    await chat.page.locator("#preferences").get_by_role("button", name="Close").click()
    await expect(chat.page.locator("html")).to_have_attribute("data-single-keys", "off")
    await chat.alive()
    await chat.box.blur()
    await chat.page.keyboard.press("?")
    await expect(chat.page.locator("#help")).to_be_hidden()
    await chat.box.press("Control+/")
    await expect(chat.page.locator("#help")).to_be_visible()


async def test_keys_lead_to_the_box_and_to_the_search(chat: Chat) -> None:
    """`/` and Ctrl+K."""
    await chat.box.press("Control+k")
    await expect(chat.page.get_by_role("searchbox")).to_be_focused()
    await chat.page.get_by_role("searchbox").blur()
    await chat.page.keyboard.press("/")
    await expect(chat.box).to_be_focused()
    await expect(chat.box).to_have_value("")


@pytest.mark.parametrize("key", ["Control+k", "/"])
async def test_keys_lead_out_of_a_panel(chat: Chat, key: str) -> None:
    """It would cover what has the focus then."""
    await chat.page.get_by_role("button", name="Preferences").click()
    await chat.page.get_by_role("heading", name="Preferences").click()
    await chat.page.keyboard.press(key)
    await expect(chat.page.locator("#preferences")).to_be_hidden()
    await expect(chat.box if key == "/" else chat.page.get_by_role("searchbox")).to_be_focused()


async def test_keys_lead_through_the_sessions(chat: Chat, server: LiveServer) -> None:
    """Alt and an arrow to the neighbours in the list, Ctrl+Shift+O to a new one."""
    for session_id in ("s1", "s2"):
        await server.client.ask(session_id, session_id, model="scripted/short")
    await chat.open("/sessions/s2")
    await chat.box.press_sequentially("a draft")
    await chat.box.press("Alt+ArrowDown")
    await chat.page.wait_for_url("**/sessions/s1")
    await chat.alive()
    await chat.page.keyboard.press("Alt+ArrowUp")
    await chat.page.wait_for_url("**/sessions/s2")
    await chat.alive()
    await expect(chat.box).to_have_value("a draft")
    await chat.page.keyboard.press("Control+Shift+O")
    await chat.page.wait_for_url(re.compile(r"/$"))


async def test_the_first_tab_skips_to_the_box(chat: Chat, server: LiveServer) -> None:
    """Past the list of sessions."""
    await server.client.ask("s1", "hello", model="scripted/short")
    await chat.open("/sessions/s1")
    await chat.page.keyboard.press("Tab")
    skip = chat.page.get_by_role("link", name="Skip to message box")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await chat.page.keyboard.press("Enter")
    await expect(chat.box).to_be_focused()


async def test_an_editor_is_not_left_by_an_arrow(chat: Chat) -> None:
    """What is written in it would be lost."""
    for text in ("one", "two"):
        await chat.open("/")
        await chat.ask(text, "echo")
        await chat.ends("complete")
    address = chat.page.url
    await chat.page.locator("article[data-role=user]").get_by_text("Edit", exact=True).click()
    await chat.page.get_by_label("Edit message").press("Alt+ArrowDown")
    await chat.page.get_by_label("Search chats").press("Alt+ArrowDown")
    assert chat.page.url == address


APPLE = {
    "mac": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15",
    "ipad": "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15",
}


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("agent", APPLE.values(), ids=APPLE.keys())
async def test_keys_have_the_names_of_the_machine(
    browser: Browser, server: LiveServer, agent: str, scripts: bool
) -> None:
    """On a Mac ⌘ and ⌥, elsewhere Ctrl and Alt."""
    context = await browser.new_context(user_agent=agent, java_script_enabled=scripts)
    page = await context.new_page()
    await page.goto(server.url)
    keys = await page.locator("#help kbd").all_text_contents()
    assert {"⌘", "⌥", "⇧"} <= set(keys)
    assert not {"Ctrl", "Alt", "Shift"} & set(keys)
    await context.close()


async def test_elsewhere_keys_are_called_ctrl_and_alt(chat: Chat) -> None:
    keys = await chat.page.locator("#help kbd").all_text_contents()
    assert {"Ctrl", "Alt", "Shift"} <= set(keys)
    assert "⌘" not in keys


async def test_on_a_mac_option_moves_the_caret_of_a_draft(browser: Browser, server: LiveServer) -> None:
    """By paragraphs, as everywhere there; in an empty box it leads through the chats."""
    for session_id in ("s1", "s2"):
        await server.client.ask(session_id, session_id, model="scripted/short")
    context = await browser.new_context()
    await context.add_init_script("Object.defineProperty(navigator, 'platform', { get: () => 'MacIntel' })")
    chat = Chat(await context.new_page(), server.url)
    await chat.open("/sessions/s2")
    await chat.box.fill("a draft")
    await chat.box.press("Alt+ArrowDown")
    await chat.box.fill("")
    assert chat.page.url.endswith("/sessions/s2")
    await chat.box.press("Alt+ArrowDown")
    await chat.page.wait_for_url("**/sessions/s1")
    await context.close()
