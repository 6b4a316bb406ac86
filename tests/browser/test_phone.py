"""The page on a phone: room for the thumb, no zooming into fields, panels that fit."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.chat import Chat
from tests.support.server import LiveServer

WIDTH, HEIGHT = 390, 844
TABLET = (744, 1133)

# The fields that are smaller than 16 px, into which a phone would zoom.
SMALL = """() => Array.from(document.querySelectorAll("input, textarea"))
    .filter((field) => !["hidden", "checkbox", "radio", "file"].includes(field.type))
    .filter((field) => parseFloat(getComputedStyle(field).fontSize) < 16)
    .map((field) => field.id || field.name)"""

# What the style sheet says of the height of the frame.
HEIGHTS = """() => Object.fromEntries(Array.from(document.styleSheets[0].cssRules)
    .filter((rule) => [".with-sidebar", ".sidebar", ".chat"].includes(rule.selectorText) && rule.style.height)
    .map((rule) => [rule.selectorText, rule.style.height]))"""

# What is outside of its panel, or of the line below an answer, beyond which the padding of its buttons reaches.
OUTSIDE = """() => Array.from(document.querySelectorAll(".panel:popover-open, .after"), (around) => {
    const { left, right } = around.getBoundingClientRect();
    const isOutside = (box) => box.left < left - 15 || box.right > right + 1;
    return Array.from(around.querySelectorAll("*"))
        .filter((each) => each.checkVisibility() && isOutside(each.getBoundingClientRect()))
        .map((each) => each.outerHTML.slice(0, 60));
}).flat()"""


@pytest_asyncio.fixture(loop_scope="session")
async def phone(browser: Browser, server: LiveServer) -> AsyncIterator[Chat]:
    """A new session on a phone."""
    context = await browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(15_000)
    chat = Chat(await context.new_page(), server.url)
    await chat.open("/")
    yield chat
    await context.close()


async def test_no_field_is_so_small_that_a_phone_zooms(phone: Chat) -> None:
    """16 px, in the panels too."""
    assert await phone.page.evaluate(SMALL) == []


async def test_what_is_tapped_is_large_enough(phone: Chat) -> None:
    """The buttons of the composer have the size of a fingertip."""
    for button in await phone.page.locator(".bar button:visible, .bar label.icon:visible, .top .icon").all():
        box = await button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 40


@pytest.mark.parametrize("name", ["Preferences", "Chat settings"])
async def test_a_panel_fits(phone: Chat, name: str) -> None:
    """Nothing of it is outside of the screen, and the page is no wider for it."""
    if name == "Preferences":
        await phone.page.get_by_label("Open chat list").tap()
    await phone.page.get_by_role("button", name=name).tap()
    box = await phone.page.locator(".panel:popover-open").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= WIDTH
    assert box["y"] + box["height"] <= HEIGHT
    assert await phone.page.evaluate("document.documentElement.scrollWidth") == WIDTH


async def test_a_session_is_managed_with_the_thumb(phone: Chat, server: LiveServer) -> None:
    """The menu opens over the list, which stays open beneath it."""
    await server.client.ask("s1", "Rivers", model="scripted/short")
    await phone.open("/sessions/s1")
    await phone.page.get_by_label("Open chat list").tap()
    await phone.page.get_by_role("link", name="Chat options for “Rivers”").tap()
    menu = phone.page.locator("#session-menu")
    await expect(menu).to_be_in_viewport(ratio=1)
    await menu.get_by_role("button", name="Rename").tap()
    await phone.page.get_by_label("Title").fill("Brooks")
    await phone.page.keyboard.press("Enter")
    await expect(phone.page.locator("#sessions .session")).to_have_text(["Brooks"])
    await expect(phone.page.get_by_role("navigation", name="Chats")).to_be_visible()


async def test_the_list_opens_at_the_chat_that_is_shown(phone: Chat, server: LiveServer) -> None:
    """Also if it is far down."""
    for number in range(30):
        await server.client.ask(f"s{number}", f"chat {number}", model="scripted/short")
    await phone.open("/sessions/s0")
    await phone.page.get_by_label("Open chat list").tap()
    await expect(phone.page.locator("#sessions [aria-current]")).to_be_in_viewport()


async def test_an_undo_brings_the_list_back(phone: Chat, server: LiveServer) -> None:
    """Its button is outside of the list, which closes as it is pressed."""
    for title in ("Rivers", "Wheels"):
        await server.client.ask(title, title, model="scripted/short")
    await phone.open("/sessions/Rivers")
    await phone.page.get_by_label("Open chat list").tap()
    await phone.page.get_by_role("link", name="Chat options for “Wheels”").tap()
    await phone.page.locator("#session-menu").get_by_role("button", name="Delete").tap()
    await phone.page.get_by_role("button", name="Undo").tap()
    await expect(phone.page.get_by_role("link", name="Wheels", exact=True)).to_be_focused()
    await expect(phone.page.get_by_role("navigation", name="Chats")).to_be_visible()


async def test_the_page_is_as_high_as_what_is_seen(phone: Chat) -> None:
    """Its heights are those of the visible part, so the message box stays above the keyboard and the address bar."""
    assert await phone.page.evaluate(HEIGHTS) == {
        ".with-sidebar": "100dvh",
        ".sidebar": "100dvh",
        ".chat": "100dvh",
    }
    await phone.page.set_viewport_size({"width": WIDTH, "height": HEIGHT // 2})
    await expect(phone.box).to_be_in_viewport(ratio=1)
    assert await phone.page.evaluate("document.documentElement.scrollHeight") == HEIGHT // 2


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
async def test_a_list_that_is_open_stands_beside_the_chat_once_there_is_room(
    browser: Browser, server: LiveServer, has_scripts: bool
) -> None:
    """Turned on its side, a tablet shows both, each where a page that was opened so has it."""
    short, long = sorted(TABLET)
    context = await browser.new_context(
        viewport={"width": short, "height": long}, java_script_enabled=has_scripts
    )
    chat = Chat(await context.new_page(), server.url)
    await (chat.open("/") if has_scripts else chat.page.goto(server.url))
    await chat.page.get_by_label("Open chat list").click()
    await chat.page.set_viewport_size({"width": long, "height": short})
    sidebar = chat.page.locator("#sidebar")
    if has_scripts:
        await expect(chat.page.locator("#sidebar:popover-open")).to_have_count(
            0
        )  # it would take the first Esc
    side, right = await sidebar.bounding_box(), await chat.page.locator(".chat").bounding_box()
    assert side is not None
    assert right is not None
    assert (side["x"], side["y"], side["height"]) == (0, 0, short)
    assert (right["x"], right["width"]) == (side["width"], long - side["width"])
    await chat.page.reload()
    assert await sidebar.bounding_box() == side
    await context.close()


async def test_all_of_it_fits_with_letters_of_twice_the_size(phone: Chat, server: LiveServer) -> None:
    """As a browser's own setting has them: nothing is cut off, or peeks in, and the model's name can be read."""
    await server.client.ask("s1", "Rivers", model="scripted/short")
    await phone.open("/sessions/s1")
    await phone.page.evaluate("document.documentElement.style.fontSize = '32px'")
    await expect(phone.page.get_by_role("link", name="Skip to message box")).not_to_be_in_viewport()
    for control in (phone.page.get_by_label("Model", exact=True), phone.send):
        await expect(control).to_be_in_viewport(ratio=1)
        box = await control.bounding_box()
        assert box is not None
        assert box["width"] > 100
    assert await phone.page.evaluate(OUTSIDE) == []
    for name in ("options", "preferences", "models", "help"):
        await phone.page.evaluate("(name) => document.getElementById(name).showPopover()", name)
        assert await phone.page.evaluate(OUTSIDE) == []
        await phone.page.evaluate("(name) => document.getElementById(name).hidePopover()", name)
    await phone.page.locator(".skip").focus()
    await expect(phone.page.locator(".skip")).to_be_in_viewport(ratio=1)
