"""Theme and language, with and without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chat import Chat
from tests.browser.held import POSTS, hold
from tests.support.server import LiveServer

PAPER = "getComputedStyle(document.body).backgroundColor"


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
async def test_preferences_are_a_form(browser: Browser, server: LiveServer, scripts: bool) -> None:
    """Theme and language hold from the next page on, which is the one that was left."""
    await server.client.ask("s1", "hello", model="scripted/short")
    settings: Any = {"java_script_enabled": scripts, "color_scheme": "light", "locale": "en-GB"}
    context = await browser.new_context(**settings)
    page = await context.new_page()
    await page.goto(f"{server.url}/sessions/s1")
    await page.get_by_role("button", name="Preferences").click()
    await page.get_by_role("radio", name="Dark").check()
    await page.get_by_label("Language").select_option("de")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("button", name="Einstellungen", exact=True)).to_be_visible()
    assert page.url == f"{server.url}/sessions/s1"
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    await context.close()


async def test_the_theme_colours_the_page(chat: Chat) -> None:
    """A chosen theme wins over that of the system."""
    colours = {}
    for theme in ("light", "dark"):
        await chat.page.get_by_role("button", name="Preferences").click()
        await chat.page.get_by_role("radio", name=theme.capitalize()).check()
        await chat.page.get_by_role("button", name="Save").click()
        await expect(chat.page.locator("html")).to_have_attribute("data-theme", theme)
        for system in ("light", "dark"):
            await chat.page.emulate_media(color_scheme=system)
            colours[theme, system] = await chat.page.evaluate(PAPER)
    assert colours["light", "light"] == colours["light", "dark"] != colours["dark", "dark"]
    assert colours["dark", "light"] == colours["dark", "dark"]


@pytest.fixture
async def german(browser: Browser, server: LiveServer) -> AsyncIterator[Chat]:
    """The page of a new session, for an Austrian."""
    context = await browser.new_context(locale="de-AT")
    chat = Chat(await context.new_page(), server.url)
    await chat.open("/")
    yield chat
    await context.close()


async def ask_in_german(chat: Chat, prompt: str, model: str) -> None:
    """Take a scripted model and send it a prompt."""
    await chat.page.get_by_label("Modell", exact=True).select_option(f"scripted/{model}")
    await chat.page.get_by_label("Nachricht", exact=True).fill(prompt)
    await chat.page.get_by_role("button", name="Senden").click()


async def test_a_failure_is_told_in_the_language_of_the_page(german: Chat) -> None:
    """In the same words while it happens and after a reload."""
    await ask_in_german(german, "Geht das?", "error-middle")
    problem = german.answer().locator("[data-part=problem-text]")
    for _ in range(2):
        await expect(problem).to_have_text("Der Modellserver hat die Anfrage abgelehnt.")
        await german.page.reload()


async def test_scripts_speak_the_language_of_the_page(german: Chat) -> None:
    """What they say comes from the page's own words."""
    await ask_in_german(german, "Erzähl mir etwas", "long")
    await german.streams()
    await expect(german.status).to_have_text("Antwort wird geschrieben")
    await german.page.get_by_role("button", name="Stoppen", exact=True).click()
    await german.ends("stopped")
    await expect(german.answer().locator("[data-part=label]")).to_have_text("Gestoppt")


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
async def test_nothing_moves_for_whoever_wants_no_motion(
    chat: Chat, motion: Literal["no-preference", "reduce"]
) -> None:
    """While the model thinks a dot pulses, and buttons change slowly: but not if the system says that it hurts."""
    await chat.page.emulate_media(reduced_motion=motion)
    await hold(chat, POSTS)
    await chat.ask("are you there", "short")
    await expect(chat.answer().get_by_text("Thinking…")).to_be_visible()
    await chat.page.locator(".jump").evaluate("jump => { jump.hidden = false; jump.style.color = 'red'; }")
    running = await chat.page.evaluate("document.getAnimations().length")
    assert (running > 0) == (motion == "no-preference")
