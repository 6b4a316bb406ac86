"""Signing out: a button on the page, with JavaScript and without, where the server has an access token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.chat import Chat
from tests.support.server import LiveServer, serve
from tests.support.tokens import add, bearer, known, revoke

TOKEN = "plum-9f3c71d2a8e4b605"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest_asyncio.fixture(loop_scope="session")
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
    link = other.page.get_by_role("link", name="Sign in")
    places = [await each.bounding_box() for each in (other.page.get_by_role("alert"), link, other.box)]
    error, button, box = [place for place in places if place]
    assert error["y"] + error["height"] < button["y"]  # in a row of its own
    assert button["y"] + button["height"] < box["y"]
    await link.click()
    await other.page.get_by_label("Access token").fill(TOKEN)
    await other.page.get_by_role("button", name="Sign in").click()
    await expect(other.box).to_have_value("half a thought")


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


async def test_back_after_signing_out_shows_no_chat(context: BrowserContext, locked: LiveServer) -> None:
    """Neither from the cache nor from what the browser keeps of pages that were left."""
    page = await context.new_page()
    await sign_in(page, locked.url)
    chat = Chat(page, locked.url)
    await chat.ask("Of secret rivers", "echo")
    await chat.ends("complete")
    shown = page.url
    await page.get_by_role("link", name="New chat").first.click()
    await page.wait_for_url(locked.url + "/")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url(locked.url + "/login")
    for _ in range(2):
        await page.go_back()
        await expect(page.get_by_label("Access token")).to_be_visible()
        assert "secret rivers" not in await page.content()
    await page.goto(shown)
    await expect(page.get_by_label("Access token")).to_be_visible()


async def test_a_page_that_was_kept_is_asked_for_again(context: BrowserContext, locked: LiveServer) -> None:
    """It is hidden for as long as it is away, and so when it comes back, until the server has said who may see it."""
    page = await context.new_page()
    await sign_in(page, locked.url)
    await Chat(page, locked.url).alive()
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    await expect(page.locator("body")).to_be_hidden()
    await context.clear_cookies()
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await expect(page.get_by_label("Access token")).to_be_visible()


async def test_an_image_is_not_shown_from_the_cache(context: BrowserContext, locked: LiveServer) -> None:
    """The browser has it, and asks whether it may show it."""
    page = await context.new_page()
    await sign_in(page, locked.url)
    image_id = await page.evaluate(
        """async ([prompt, image]) => {
            const body = JSON.stringify({ prompt, model: "scripted/vision", images: [image] });
            const headers = { "Content-Type": "application/json" };
            await fetch("/api/sessions/s1/streams", { method: "POST", headers, body });
            const session = await (await fetch("/api/sessions/s1")).json();
            return session.messages[0].images[0].image_id;
        }""",
        ["look", {"media_type": "image/png", "data": PIXEL}],
    )
    look = "async (address) => (await fetch(address)).status"
    address = f"{locked.url}/api/images/{image_id}"
    assert [await page.evaluate(look, address) for _ in range(2)] == [200, 200]
    await context.clear_cookies()
    assert await page.evaluate(look, address) == 401


async def test_a_revoked_token_leads_to_the_login(context: BrowserContext, tmp_path: Path) -> None:
    """An open page notices without a click; the draft is there again after the next sign-in."""
    async with serve(tmp_path, auth="tokens") as server:
        page = await context.new_page()
        await page.goto(server.url + "/login")
        token = await add(tmp_path, "alice")
        await known(server.client, bearer(token))
        await page.get_by_label("Access token").fill(token)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(server.url + "/")
        chat = Chat(page, server.url)
        await chat.ask("hello", "echo")
        await chat.ends("complete")
        await chat.box.fill("half a thought")
        address = page.url
        await revoke(tmp_path, "alice")
        await page.get_by_role("link", name="Sign in").click()
        token = await add(tmp_path, "alice")
        await known(server.client, bearer(token))
        await page.get_by_label("Access token").fill(token)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(address)
        await expect(chat.box).to_have_value("half a thought")
