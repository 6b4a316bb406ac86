"""The page without JavaScript."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chat import Chat
from tests.support.server import LiveServer


@pytest.fixture
async def plain(browser: Browser, server: LiveServer) -> AsyncIterator[Chat]:
    """The page of a new session, in a browser that runs no scripts."""
    context = await browser.new_context(java_script_enabled=False)
    context.set_default_timeout(15_000)
    chat = Chat(await context.new_page(), server.url)
    await chat.page.goto(server.url)
    yield chat
    await context.close()


async def test_asking_works_without_scripts(plain: Chat) -> None:
    """A prompt is a form; while it is answered the page looks again every two seconds, and then no more."""
    await plain.choose("short")
    await plain.box.fill("hello there")
    await plain.send.click()
    await plain.ends("complete")
    assert await plain.words() == "Hello! What would you like to know?"
    assert await plain.prompts.text_content() == "hello there"
    await expect(plain.page.locator("noscript meta")).to_have_count(0)


async def test_stopping_works_without_scripts(plain: Chat) -> None:
    """Stop is a form too; the partial answer stays, labelled."""
    await plain.choose("long")
    await plain.box.fill("tell a long story")
    await plain.send.click()
    await plain.stop.click()
    await plain.ends("stopped")
    await expect(plain.answer().locator("[data-part=label]")).to_have_text("Stopped")
    await expect(plain.stop).to_be_hidden()


async def test_a_refused_form_keeps_what_was_typed(plain: Chat) -> None:
    """A prompt of spaces is refused with a sentence, and the page is usable as before."""
    await plain.box.fill("   ")
    await plain.send.click()
    await expect(plain.page.get_by_role("alert")).to_contain_text("empty")
    await plain.choose("short")
    await plain.box.fill("now with words")
    await plain.send.click()
    await plain.ends("complete")


async def test_retry_works_without_scripts(plain: Chat) -> None:
    """A failed answer has a Retry that is a form."""
    await plain.choose("error")
    await plain.box.fill("will this work")
    await plain.send.click()
    await plain.ends("failed")
    await plain.answer().get_by_role("button", name="Retry").click()
    await expect(plain.answer().get_by_text("2/2")).to_be_visible()
    await expect(plain.prompts).to_have_text(["will this work"])
