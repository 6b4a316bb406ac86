"""A page that stays open while the server is killed and started again."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from playwright.async_api import BrowserContext, expect

from app.backends.scripted.scripts import SCRIPTS
from tests.browser.chat import Chat
from tests.functional.processes import serving

STORY = (SCRIPTS["long"].text or "") * 200
ENOUGH = 500  # characters, two seconds of an answer: the server keeps what came four times a second
WRITTEN = """(length) =>
    document.querySelector("[data-role=assistant] [data-part=content]").textContent.length > length"""


async def test_a_killed_server_leaves_interrupted_answers(context: BrowserContext, tmp_path: Path) -> None:
    """Started again it has what it had kept; the page shows that, labelled, waits for nothing, and goes on from it."""
    with serving(tmp_path) as first:
        chat = Chat(await context.new_page(), first.url)
        await chat.open("/")
        await chat.ask("tell a long story", "long")
        await chat.page.wait_for_function(WRITTEN, arg=ENOUGH)
        first.signal(signal.SIGKILL)
        await asyncio.to_thread(first.ended)
    seen = await chat.words()
    await expect(chat.page.get_by_text("Reconnecting…")).to_be_visible()
    assert (await chat.words()).startswith(seen)  # what had come is painted still
    with serving(tmp_path, PORT=str(first.port)):
        await chat.ends("interrupted")
        begun = await chat.words()
        assert begun
        assert STORY.startswith(begun)
        await expect(chat.answer().locator("[data-part=label]")).to_have_text("Interrupted")
        await expect(chat.answer().locator("[data-part=thinking]")).to_be_hidden()
        await expect(chat.page.get_by_text("Reconnecting…")).to_be_hidden()
        await expect(chat.stop).to_be_hidden()
        await chat.answer().get_by_role("button", name="Continue").click()
        await chat.streams()
        await expect(chat.text()).not_to_have_text(begun)
        await chat.page.keyboard.press("Escape")
        await chat.ends("stopped")
        await expect(chat.answers).to_have_count(1)
        whole = await chat.words()
    assert whole.startswith(begun)
    assert STORY.startswith(whole)
