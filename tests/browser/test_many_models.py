"""Three thousand models: found as one types, by keyboard and by pointer, remembered, and without scripts by a form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, expect

from tests.browser.chat import Chat
from tests.doubles.openai import GatewayDouble
from tests.support.server import LiveServer, serve


@pytest_asyncio.fixture(loop_scope="session")
async def gateway() -> AsyncIterator[GatewayDouble]:
    async with GatewayDouble() as double:
        yield double


@pytest_asyncio.fixture(loop_scope="session")
async def many(tmp_path: Path, gateway: GatewayDouble) -> AsyncIterator[LiveServer]:
    async with serve(tmp_path, openai_url=gateway.url, scripted=False) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, many: LiveServer) -> Chat:
    chat = Chat(await context.new_page(), many.url)
    await chat.open("/")
    return chat


def select(chat: Chat) -> Locator:
    return chat.page.get_by_label("Model", exact=True)


def matches(chat: Chat) -> Locator:
    return chat.page.locator("#matches [role=option]")


async def opened(chat: Chat) -> Locator:
    """Open the search; return its field."""
    await chat.page.get_by_role("button", name="Find a model").click()
    field = chat.page.get_by_role("combobox", name="Name of the model")
    await expect(field).to_be_focused()
    await expect(matches(chat)).to_have_count(50)
    return field


async def test_it_filters_as_one_types(page: Chat, gateway: GatewayDouble) -> None:
    """The first match is taken by Enter, and answers."""
    field = await opened(page)
    await expect(page.page.locator("[data-part=matched]")).to_have_text("The first 50 of 3,000 models")
    await field.press_sequentially("2999")
    await expect(matches(page)).to_have_text(["openai/vendor-59/model-2999-instruct"])
    await expect(page.page.locator("[data-part=matched]")).to_have_text("1 model")
    await field.press("Enter")
    await expect(select(page)).to_have_value("openai/vendor-59/model-2999-instruct")
    await expect(select(page)).to_be_focused()
    await expect(page.prompts).to_have_count(0)
    await page.ask("hello")
    await page.ends("complete")
    assert [body["model"] for body in gateway.requests] == ["vendor-59/model-2999-instruct"]


async def test_it_is_remembered_for_the_next_chat(page: Chat) -> None:
    """Although no page offers it by itself."""
    field = await opened(page)
    await field.fill("vendor-8/ 2048")
    await expect(matches(page)).to_have_text(["openai/vendor-8/model-2048-instruct"])
    await matches(page).first.click()
    await page.open("/")
    await expect(select(page)).to_have_value("openai/vendor-8/model-2048-instruct")


async def test_by_keyboard(page: Chat) -> None:
    """Arrows go through the matches and round; Escape leaves everything as it was."""
    field = await opened(page)
    await field.fill("vendor-3/")
    await expect(matches(page).first).to_have_text("openai/vendor-3/model-3-instruct")
    await field.press("ArrowDown")
    await expect(matches(page).nth(1)).to_have_attribute("aria-selected", "true")
    await expect(field).to_have_attribute("aria-activedescendant", "match-1")
    await field.press("ArrowUp")
    await field.press("ArrowUp")
    await expect(matches(page).last).to_have_attribute("aria-selected", "true")
    await field.press("Escape")
    await expect(field).to_be_hidden()
    await expect(select(page)).to_have_value("openai/vendor-0/model-0-instruct")
    field = await opened_again(page)
    await field.press("ArrowDown")
    await field.press("Enter")
    await expect(select(page)).to_have_value("openai/vendor-3/model-63-instruct")


async def opened_again(chat: Chat) -> Locator:
    await chat.page.get_by_role("button", name="Find a model").click()
    field = chat.page.get_by_role("combobox", name="Name of the model")
    await expect(field).to_have_value("vendor-3/")
    await expect(matches(chat).first).to_have_text("openai/vendor-3/model-3-instruct")
    return field


async def test_nothing_is_found(page: Chat) -> None:
    """It is said, and Enter does nothing."""
    field = await opened(page)
    await field.fill("no such model")
    await expect(matches(page)).to_have_count(0)
    await expect(page.page.locator("[data-part=matched]")).to_have_text("0 models")
    await field.press("Enter")
    await expect(field).to_be_visible()


async def test_the_script_comes_when_it_is_used(context: BrowserContext, many: LiveServer) -> None:
    """A page that nobody searches on loads nothing for it."""
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    chat = Chat(await context.new_page(), many.url)
    await chat.open("/")
    assert not [url for url in asked if "finder" in url or "/api/models" in url]
    await opened(chat)
    assert [url for url in asked if "finder" in url]


async def test_few_models_need_no_search(chat: Chat) -> None:
    """The select has them all."""
    await expect(chat.page.locator("[data-part=find]")).to_be_hidden()


async def test_without_scripts(browser: Browser, many: LiveServer, gateway: GatewayDouble) -> None:
    """The search is a form: it comes back with the matches in the select, and the prompt that was typed."""
    context = await browser.new_context(java_script_enabled=False)
    chat = Chat(await context.new_page(), many.url)
    await chat.page.goto(many.url)
    await chat.box.fill("hello")
    await chat.page.get_by_role("button", name="Find a model").click()
    await chat.page.get_by_label("Name of the model").fill("model-1234")
    await chat.page.get_by_role("button", name="Find", exact=True).click()
    await expect(select(chat)).to_have_value("openai/vendor-34/model-1234-instruct")
    await expect(chat.box).to_have_value("hello")
    await expect(chat.page.get_by_text("1 model matches “model-1234”.")).to_be_visible()
    await chat.send.click()
    await expect(chat.answers).to_have_count(1)
    await gateway.ledger.until(lambda ledger: len(ledger.entries) == 1)
    assert gateway.requests[0]["model"] == "vendor-34/model-1234-instruct"
    await context.close()
