"""Keys that work everywhere on the page, the panels, and the way of the focus."""

from __future__ import annotations

import re

from playwright.async_api import expect

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
    await chat.page.get_by_role("button", name="Save").click()
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


async def test_keys_lead_through_the_sessions(chat: Chat, server: LiveServer) -> None:
    """Alt and an arrow to the neighbours in the list, Ctrl+Shift+O to a new one."""
    for session_id in ("s1", "s2"):
        await server.client.ask(session_id, session_id, model="scripted/short")
    await chat.open("/sessions/s2")
    await chat.page.keyboard.press("Alt+ArrowDown")
    await chat.page.wait_for_url("**/sessions/s1")
    await chat.alive()
    await chat.page.keyboard.press("Alt+ArrowUp")
    await chat.page.wait_for_url("**/sessions/s2")
    await chat.alive()
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
