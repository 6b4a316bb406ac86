"""Theme and language, with and without scripts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.chat import Chat
from tests.browser.held import POSTS, hold
from tests.browser.puppets import Led
from tests.support.server import LiveServer
from tests.support.waiting import until_told

PAPER = "getComputedStyle(document.body).backgroundColor"


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
async def test_preferences_are_a_form(browser: Browser, server: LiveServer, scripts: bool) -> None:
    """Theme and language hold on the page that they were chosen on, and from then on."""
    await server.client.ask("s1", "hello", model="scripted/short")
    settings: Any = {"java_script_enabled": scripts, "color_scheme": "light", "locale": "en-GB"}
    context = await browser.new_context(**settings)
    page = await context.new_page()
    await page.goto(f"{server.url}/sessions/s1")
    await page.get_by_role("button", name="Preferences").click()
    await page.get_by_role("radio", name="Dark").check()
    await page.get_by_label("Language").select_option("de")
    if not scripts:
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
        await chat.page.locator("#preferences").get_by_role("button", name="Close").click()
        await expect(chat.page.locator("html")).to_have_attribute("data-theme", theme)
        for system in ("light", "dark"):
            await chat.page.emulate_media(color_scheme=system)
            colours[theme, system] = await chat.page.evaluate(PAPER)
    assert colours["light", "light"] == colours["light", "dark"] != colours["dark", "dark"]
    assert colours["dark", "light"] == colours["dark", "dark"]


@pytest_asyncio.fixture(loop_scope="session")
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
        await expect(problem).to_have_text(
            "Der Modellserver hat die Anfrage abgelehnt. (The scripted model failed, as its script says.)"
        )
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


async def test_a_theme_is_put_on_in_place(led: Led) -> None:
    """While an answer is written and a draft typed: no page is loaded, and the next one has the theme."""
    chat = led.chat
    generation = await led.ask("hello")
    generation.say("first ")
    await expect(chat.text()).to_contain_text("first")
    await chat.box.fill("a draft")
    await chat.page.evaluate("window.isSame = true")
    await chat.page.get_by_role("button", name="Preferences").click()
    for theme, scheme in (("Dark", "dark"), ("Light", "light"), ("System", None), ("Dark", "dark")):
        await chat.page.get_by_role("radio", name=theme).check()
        if scheme:
            await expect(chat.page.locator("html")).to_have_attribute("data-theme", scheme)
        else:
            await expect(chat.page.locator("html")).not_to_have_attribute("data-theme", re.compile(""))
    paper = await chat.page.evaluate(PAPER)
    await expect(chat.page.locator("meta[name=theme-color]")).to_have_attribute("content", paper)
    generation.say("second")
    await expect(chat.text()).to_have_text("first second")
    assert await chat.page.evaluate("window.isSame")
    await expect(chat.box).to_have_value("a draft")
    generation.finish()
    await chat.ends("complete")
    await saved(chat, "tailrace_theme", "dark")
    await chat.page.reload()
    await expect(chat.page.locator("html")).to_have_attribute("data-theme", "dark")


async def saved(chat: Chat, name: str, value: str) -> None:
    """Wait until the server has set a cookie."""

    async def is_set() -> bool:
        cookies = {cookie.get("name"): cookie.get("value") for cookie in await chat.page.context.cookies()}
        return cookies.get(name) == value

    await until_told(is_set)


async def test_a_language_keeps_what_is_there(led: Led) -> None:
    """In a chat that began on the first page: its answer goes on, the draft and the place stay."""
    chat = led.chat
    generation = await led.ask("hello")
    for number in range(60):
        generation.say(f"paragraph {number}\n\n")
    await expect(chat.text()).to_contain_text("paragraph 59")
    await chat.box.fill("a draft")
    scroll = chat.page.locator("[data-part=scroll]")
    await scroll.hover()
    await chat.page.mouse.wheel(0, -400)
    await expect(chat.page.get_by_role("button", name="Jump to latest")).to_be_visible()
    place = await scroll.evaluate("(each) => each.scrollTop")
    address = chat.page.url
    await chat.page.get_by_role("button", name="Preferences").click()
    await chat.page.get_by_label("Language").select_option("de")
    await expect(chat.page.locator("html")).to_have_attribute("lang", "de")
    await chat.alive()
    assert chat.page.url == address
    await expect(chat.page.get_by_label("Nachricht", exact=True)).to_have_value("a draft")
    assert abs(await scroll.evaluate("(each) => each.scrollTop") - place) < 50
    generation.say("the end")
    await expect(chat.text()).to_contain_text("the end")
    generation.finish()
    await chat.ends("complete")
    assert (await chat.words()).count("paragraph 59") == 1


async def test_preferences_that_are_not_saved_say_so(chat: Chat) -> None:
    """The server may be away: the panel says it, and what was chosen holds here at least."""
    await chat.page.route("**/preferences", lambda route: route.abort())
    await chat.page.get_by_role("button", name="Preferences").click()
    await chat.page.get_by_role("radio", name="Dark").check()
    await expect(chat.page.locator("#preferences").get_by_role("alert")).to_contain_text(
        "Can't reach the server"
    )
    await expect(chat.page.locator("html")).to_have_attribute("data-theme", "dark")
