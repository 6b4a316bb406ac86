"""Over plain HTTP under a name of the local network: the browser does not trust such a page, and keeps much from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import async_playwright, expect

from app.backends.scripted.scripts import SCRIPTS
from tests.browser.chat import Chat
from tests.browser.chromium import chromium_to_try, running_chromium
from tests.browser.complaints import Complaints
from tests.support.server import serve

NAME = "mill.test"
SOURCE = SCRIPTS["markdown"].text or ""


@pytest_asyncio.fixture(loop_scope="session")
async def named(tmp_path: Path) -> AsyncIterator[Chat]:
    """The page of a new session under that name. The test fails at its end if the browser complained about anything."""
    complaints = Complaints()
    rules = f"--host-resolver-rules=MAP {NAME} 127.0.0.1"
    with running_chromium(chromium_to_try(), tmp_path / "chromium", rules) as address:
        async with (
            async_playwright() as playwright,
            serve(tmp_path / "server", allowed_hosts=(NAME,)) as server,
        ):
            browser = await playwright.chromium.connect_over_cdp(address)
            context = await browser.new_context(viewport={"width": 1280, "height": 800})
            await complaints.watch(context)
            chat = Chat(await context.new_page(), server.url.replace("127.0.0.1", NAME))
            await chat.open("/")
            yield chat
            await context.close()
    assert complaints == []


async def test_a_page_that_is_not_trusted_works(named: Chat) -> None:
    """It sends, its answers come through the worker that all tabs share, and it copies them."""
    asked: list[str] = []
    named.page.on("request", lambda request: asked.append(request.url) if "/events?" in request.url else None)
    assert not await named.page.evaluate("isSecureContext || navigator.clipboard || crypto.randomUUID")
    await named.ask("show me", "markdown")
    await named.ends("complete")
    await expect(named.text().locator(".block > table")).to_be_visible()
    assert asked == []  # the page itself has no stream
    button = named.answer().locator("[data-part=copy]")
    await button.click()
    await expect(button).to_contain_class("done")
    await expect(button).to_have_text("Copied")
    await named.box.press("ControlOrMeta+v")
    await expect(named.box).to_have_value(SOURCE)
