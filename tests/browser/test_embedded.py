"""The page with a real model: the one that comes with the product."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import BrowserContext, expect

from tests.browser.chat import Chat
from tests.support.server import serve


@pytest_asyncio.fixture(loop_scope="session")
async def real(context: BrowserContext, tmp_path: Path) -> AsyncIterator[Chat]:
    """The page of a new session, on a server with the embedded model alone."""
    async with serve(tmp_path, embedded=True, scripted=False) as server:
        chat = Chat(await context.new_page(), server.url)
        await chat.open("/")
        yield chat


async def test_a_model_answers_stops_and_goes_on(real: Chat) -> None:
    """Tokens come, Stop stops them, Continue appends to what was there, and a reload shows the same."""
    # Without chance, or the model may find that a word will do.
    await real.page.get_by_role("button", name="Chat settings").click()
    await real.page.get_by_label("Temperature").fill("0")
    await real.page.get_by_role("button", name="Done").click()
    await real.ask("Tell me a long story about an old mill by a river.")
    await expect(real.text()).not_to_be_empty(timeout=60_000)
    await real.stop.click()
    await real.ends("stopped")
    begun = await real.words()
    await real.answer().get_by_role("button", name="Continue").click()
    await expect(real.answer()).to_have_attribute("data-status", "streaming", timeout=60_000)
    await expect(real.text()).not_to_have_text(begun)
    if await real.answer().get_attribute("data-status") == "streaming":
        await real.page.keyboard.press("Escape")
    await expect(real.answer()).to_have_attribute("data-status", "ended", timeout=60_000)
    shown = await real.text().inner_text()
    assert shown.startswith(begun.strip()[:20])
    await real.page.reload()
    assert await real.text().inner_text() == shown
