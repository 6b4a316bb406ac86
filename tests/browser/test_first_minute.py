"""The first minute: an empty chat invites, the demo model says what it is, and a page leads to a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, expect

from tests.browser.chat import Chat
from tests.browser.puppets import Led
from tests.browser.test_looks import place
from tests.doubles.openai import OpenAIDouble
from tests.support.puppet import PuppetBackend
from tests.support.server import LiveServer, serve

EXAMPLE = "Plan three vegetarian dinners for two people"
NOBODY = "http://127.0.0.1:9/v1"  # the port of the protocol that discards everything, which nobody serves


class Demo(PuppetBackend):
    """A model that goes by the name of the one that comes along."""

    name = "embedded"


@pytest_asyncio.fixture(loop_scope="session")
async def demo(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server with the demo model, the scripted ones, and an Ollama that is not there."""
    async with serve(tmp_path, extra=(Demo(),), default_model="embedded/puppet", openai_url=NOBODY) as server:
        yield server


async def test_an_empty_chat_has_its_composer_in_the_middle(led: Led) -> None:
    """And at the bottom from the first prompt on; at no time is anything out of sight."""
    box = led.chat.page.locator("[data-part=box]")
    height = await led.chat.page.evaluate("innerHeight")
    before = await place(box)
    assert height / 3 < before["y"] + before["height"] / 2 < height * 2 / 3
    await led.ask("hello")
    await expect(led.chat.page.get_by_role("button", name=EXAMPLE)).to_be_hidden()
    after = await place(box)
    assert height - 100 < after["y"] + after["height"] <= height


async def test_an_example_is_a_prompt(led: Led) -> None:
    """One click asks it, of the model that is chosen."""
    await expect(led.chat.page.get_by_role("list", name="Examples").get_by_role("button")).to_have_count(4)
    await led.chat.page.get_by_role("button", name=EXAMPLE).click()
    await expect(led.chat.prompts).to_have_text([EXAMPLE])
    await expect(led.chat.box).to_have_value("")


async def test_examples_are_out_of_the_way_of_a_draft(led: Led) -> None:
    """What was typed cannot be lost to a slip of the hand."""
    await led.chat.box.fill("a draft")
    await expect(led.chat.page.get_by_role("button", name=EXAMPLE)).to_be_hidden()
    await led.chat.box.fill("")
    await expect(led.chat.page.get_by_role("button", name=EXAMPLE)).to_be_visible()


async def test_an_example_works_without_scripts(browser: Browser, server: LiveServer) -> None:
    """It is a button of the form."""
    context = await browser.new_context(java_script_enabled=False)
    plain = Chat(await context.new_page(), server.url)
    await plain.page.goto(server.url)
    await plain.choose("short")
    await plain.page.get_by_role("button", name=EXAMPLE).click()
    await expect(plain.prompts).to_have_text([EXAMPLE])
    await context.close()


async def test_the_demo_model_says_what_it_is(context: BrowserContext, demo: LiveServer) -> None:
    """For as long as it is chosen, with a way to a better one."""
    chat = Chat(await context.new_page(), demo.url)
    await chat.open("/")
    note = chat.page.get_by_text("Small demo model: fast to try, often wrong.")
    await expect(note).to_be_visible()
    await chat.choose("short")
    await expect(note).to_be_hidden()
    await chat.page.get_by_label("Model", exact=True).select_option("embedded/puppet")
    await chat.page.get_by_role("link", name="Connect a better one").click()
    await expect(chat.page.get_by_role("heading", name="Connect a model")).to_be_in_viewport()


async def test_the_way_to_a_real_model(context: BrowserContext, demo: LiveServer) -> None:
    """The page says what can be reached now, why the rest cannot, and what to do."""
    page = await context.new_page()
    await page.set_viewport_size({"width": 390, "height": 600})
    await page.goto(f"{demo.url}/models")
    states = page.locator(".states li")
    await expect(states.filter(has_text="openai")).to_contain_text("isn't responding")
    await expect(states.filter(has_text="scripted")).to_contain_text("models")
    await expect(states.last).to_contain_text("Small demo model")
    await expect(page.get_by_role("heading", name="Connect a model")).to_be_in_viewport()
    for words in ("ollama pull", "TAILRACE_OPENAI_URL", "[servers.work]"):
        await expect(page.get_by_text(words)).to_be_attached()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.get_by_role("link", name="Back to chat").click()
    await expect(page.get_by_label("Message", exact=True)).to_be_visible()


async def test_a_server_that_came_up_is_seen(context: BrowserContext, tmp_path: Path) -> None:
    """Check again asks all of them."""
    async with (
        OpenAIDouble(api_key="another key") as double,
        serve(tmp_path, scripted=False, openai_url=double.url) as server,
    ):
        page = await context.new_page()
        await page.goto(f"{server.url}/models")
        await expect(page.locator(".states li")).to_contain_text("API key")
        double.api_key = None
        await page.get_by_role("link", name="Check again").click()
        await expect(page.locator(".states li")).to_contain_text("2 models")


async def test_without_a_model_there_is_one_notice(context: BrowserContext, tmp_path: Path) -> None:
    """With one cause, and one next step."""
    async with serve(tmp_path, scripted=False, openai_url=NOBODY) as server:
        chat = Chat(await context.new_page(), server.url)
        await chat.open("/")
        notice = chat.page.locator("[data-part=no-models]")
        await expect(notice).to_contain_text("No models available")
        await expect(notice.locator("[data-part=reason]")).to_contain_text("isn't responding. Is it running?")
        await notice.get_by_role("link", name="Connect a model").click()
        await expect(chat.page.get_by_role("heading", name="Connect a model")).to_be_visible()
