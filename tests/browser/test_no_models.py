"""The composer while no model answers: it stays usable, says why, and looks again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Route, expect

from tests.browser.chat import Chat
from tests.doubles.openai import OpenAIDouble
from tests.support.server import LiveServer, serve

NOBODY = "http://127.0.0.1:9/v1"  # the port of the protocol that discards everything, which nobody serves


@pytest_asyncio.fixture(loop_scope="session")
async def silent(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server whose only backend does not answer."""
    async with serve(tmp_path, scripted=False, openai_url=NOBODY) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def alone(context: BrowserContext, silent: LiveServer) -> Chat:
    """The page of a new session there."""
    chat = Chat(await context.new_page(), silent.url)
    await chat.page.clock.install()
    await chat.open("/")
    return chat


async def models(chat: Chat, *names: str) -> None:
    """Let the page find these models when it looks again."""
    found: Any = [
        {"id": f"openai/{name}", "backend": "openai", "name": name, "vision": None} for name in names
    ]
    body = json.dumps({"models": found, "default": found[0]["id"], "unreachable": []})

    async def answer(route: Route) -> None:
        await route.fulfill(content_type="application/json", body=body)

    await chat.page.route("**/api/models", answer)


async def test_send_says_why_it_cannot(alone: Chat) -> None:
    """The text stays, and nothing is shown as sent."""
    await expect(alone.page.get_by_text("No models available")).to_be_visible()
    await alone.box.fill("anybody there?")
    await alone.box.press("Enter")
    alert = alone.page.get_by_role("alert")
    await expect(alert).to_have_text("Not sent: no model available.")
    await expect(alone.page.locator("[data-part=reason]")).to_contain_text("isn't responding. Is it running?")
    await expect(alone.box).to_have_value("anybody there?")
    await expect(alone.prompts).to_have_count(0)


async def test_refresh_finds_a_model(alone: Chat) -> None:
    """It is chosen, and the notice goes."""
    await models(alone, "gpt")
    await alone.page.get_by_role("button", name="Refresh").click()
    await expect(alone.page.get_by_label("Model", exact=True)).to_have_value("openai/gpt")
    await expect(alone.page.get_by_text("No models available")).to_be_hidden()


async def test_the_page_looks_by_itself_ever_less_often(alone: Chat) -> None:
    """And no more once there is a model."""
    asked: list[str] = []
    alone.page.on(
        "request", lambda request: asked.append(request.url) if "/api/models" in request.url else None
    )
    for step in (3_000, 6_000, 12_000):
        async with alone.page.expect_response("**/api/models"):
            await alone.page.clock.fast_forward(step)
    assert len(asked) == 3
    await models(alone, "gpt")
    await alone.page.clock.fast_forward(30_000)
    await expect(alone.page.get_by_label("Model", exact=True)).to_have_value("openai/gpt")
    await alone.page.clock.fast_forward(300_000)
    assert len(asked) == 4


async def test_without_scripts_refresh_keeps_what_was_typed(browser: Browser, silent: LiveServer) -> None:
    """It is a part of the form; Send says why it cannot."""
    context = await browser.new_context(java_script_enabled=False)
    chat = Chat(await context.new_page(), silent.url)
    await chat.page.goto(silent.url)
    await chat.box.fill("anybody there?")
    await chat.page.get_by_role("button", name="Refresh").click()
    await expect(chat.box).to_have_value("anybody there?")
    await chat.send.click()
    await expect(chat.page.get_by_role("alert")).to_contain_text("No model")
    await expect(chat.box).to_have_value("anybody there?")
    await context.close()


@pytest.mark.parametrize("by_itself", [False, True], ids=["refresh", "by-itself"])
@pytest.mark.parametrize(
    ("key", "listed", "reason"),
    [("another key", OpenAIDouble.models, "API key"), (None, (), "No models installed yet.")],
    ids=["unauthorised", "empty"],
)
async def test_a_server_that_offers_nothing_is_asked_again(
    context: BrowserContext,
    tmp_path: Path,
    key: str | None,
    listed: tuple[dict[str, Any], ...],
    reason: str,
    by_itself: bool,
) -> None:
    """The page says why there is no model, and finds one as soon as there is."""
    async with (
        OpenAIDouble(api_key=key) as double,
        serve(tmp_path, scripted=False, openai_url=double.url) as server,
    ):
        double.models = listed
        chat = Chat(await context.new_page(), server.url)
        await chat.page.clock.install()
        await chat.open("/")
        await expect(chat.page.locator("[data-part=reason]")).to_contain_text(reason)
        await chat.box.fill("anybody there?")
        await chat.box.press("Enter")
        await expect(chat.page.get_by_role("alert")).to_have_text("Not sent: no model available.")
        await expect(chat.page.locator("[data-part=reason]")).to_contain_text(reason)
        double.api_key, double.models = None, OpenAIDouble.models
        if by_itself:
            await chat.page.clock.fast_forward(60_000)
        else:
            await chat.page.get_by_role("button", name="Refresh").click()
        await expect(chat.page.get_by_label("Model", exact=True)).to_have_value("openai/double")
        await expect(chat.page.locator("[data-part=no-models]")).to_be_hidden()
        await expect(chat.box).to_have_value("anybody there?")
