"""Signing out: a button on the page, with JavaScript and without, where the server has an access token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.chat import Chat
from tests.support.server import LiveServer, serve

TOKEN = "correct-horse"


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server with an access token."""
    async with serve(tmp_path, access_token=TOKEN) as server:
        yield server


async def sign_in(page: Page, url: str) -> None:
    """Type the token."""
    await page.goto(url + "/")
    await page.get_by_label("Access token").fill(TOKEN)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(url + "/")


async def test_signing_out_is_noticed_by_other_tabs(context: BrowserContext, locked: LiveServer) -> None:
    """The page leads to the login; what another tab asks next is refused, and it says why and keeps the draft."""
    page = await context.new_page()
    await sign_in(page, locked.url)
    other = Chat(await context.new_page(), locked.url)
    await other.open("/")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url(locked.url + "/login")
    await expect(page.get_by_label("Access token")).to_be_visible()
    assert [cookie.get("name") for cookie in await context.cookies()] == []
    await expect(other.page.locator("[data-part=toast-text]")).to_contain_text("You're signed out")
    await other.ask("half a thought", "echo")
    await expect(other.page.get_by_role("alert")).to_contain_text("You're signed out")
    await expect(other.box).to_have_value("half a thought")
    await page.goto(locked.url + "/")
    await expect(page.get_by_label("Access token")).to_be_visible()


async def test_signing_out_without_javascript(browser: Browser, locked: LiveServer) -> None:
    """The same button is a form."""
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await sign_in(page, locked.url)
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url(locked.url + "/login")
    await page.goto(locked.url + "/")
    await expect(page.get_by_label("Access token")).to_be_visible()
    await context.close()
