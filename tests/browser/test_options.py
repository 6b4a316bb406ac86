"""The settings of a chat are checked as they are entered, with scripts and without."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chat import Chat
from tests.support.server import LiveServer

WRONG = [
    ("Temperature", "9", "Temperature must be a number from 0 to 2.", "1.5"),
    ("Top-p", "1.5", "Top-p must be a number from 0 to 1.", "0.9"),
    ("Maximum tokens", "0", "Maximum tokens must be a whole number, 1 or more.", "100"),
    ("Maximum tokens", "1.5", "Maximum tokens must be a whole number, 1 or more.", "100"),
    ("Seed", "99999999999", "Seed must be a whole number from -2147483648 to 2147483647.", "-1"),
    (
        "Stop sequences",
        "\n".join("abcdefghijklmnopq"),
        "Enter at most 16 stop sequences, one per line.",
        "END",
    ),
]
SETTINGS = {"Temperature": "temperature", "Top-p": "top_p", "Maximum tokens": "max_tokens", "Seed": "seed"}


@pytest.mark.parametrize(("label", "typed", "sentence", "right"), WRONG)
async def test_what_does_not_fit_is_told_as_it_is_entered(
    chat: Chat, server: LiveServer, label: str, typed: str, sentence: str, right: str
) -> None:
    """Beside the field, which keeps it; nothing is sent with it, and the panel does not close over it."""
    await chat.page.get_by_role("button", name="Chat settings").click()
    field, wrong = chat.page.get_by_label(label), chat.page.get_by_text(sentence)
    await expect(wrong).to_be_hidden()
    await field.fill(typed)
    await field.blur()
    await expect(wrong).to_be_visible()
    await expect(field).to_have_attribute("aria-invalid", "true")
    await chat.page.get_by_role("button", name="Done").click()
    await expect(field).to_be_focused()
    await expect(field).to_have_value(typed)
    await chat.page.keyboard.press("Escape")
    await expect(field).to_be_hidden()
    await chat.ask("hello", "short")
    await expect(wrong).to_be_visible()
    assert not server.scripted.requests
    await field.fill(right)
    await chat.page.get_by_role("button", name="Done").click()
    await expect(wrong).to_be_hidden()
    await expect(chat.box).to_have_value("hello")
    await chat.box.press("Enter")
    await chat.ends("complete")
    options = server.scripted.requests[-1].options
    assert (
        options.stop == ["END"]
        if label == "Stop sequences"
        else getattr(options, SETTINGS[label]) == float(right)
    )


@pytest.mark.parametrize(("label", "typed", "sentence", "right"), WRONG)
async def test_without_scripts_it_is_told_as_well(
    browser: Browser, server: LiveServer, label: str, typed: str, sentence: str, right: str
) -> None:
    """The page comes back with all that was typed, and says what does not fit; nothing was sent."""
    context = await browser.new_context(java_script_enabled=False)
    plain = Chat(await context.new_page(), server.url)
    await plain.page.goto(server.url)
    await plain.choose("short")
    await plain.page.get_by_role("button", name="Chat settings").click()
    await plain.page.get_by_label("System prompt", exact=True).fill("Be brief.")
    await plain.page.get_by_label(label).fill(typed)
    await plain.page.get_by_role("button", name="Done").click()
    await plain.box.fill("hello")
    await plain.send.click()
    await expect(plain.page.locator("[data-part=error]")).to_have_text(sentence)
    await expect(plain.box).to_have_value("hello")
    assert not server.scripted.requests
    await plain.page.get_by_role("button", name="Chat settings").click()
    await expect(plain.page.locator(".wrong:visible")).to_have_text(sentence)
    await expect(plain.page.get_by_label(label)).to_have_value(typed)
    await expect(plain.page.get_by_label("System prompt", exact=True)).to_have_value("Be brief.")
    await plain.page.get_by_label(label).fill(right)
    await plain.page.get_by_role("button", name="Done").click()
    await plain.send.click()
    await expect(plain.text().locator(".block")).to_be_visible()
    assert server.scripted.requests[-1].options.system == "Be brief."
    await context.close()


async def test_stop_sequences_outlast_a_reload(chat: Chat, server: LiveServer) -> None:
    """One a line, with the spaces that they have."""
    await chat.page.get_by_role("button", name="Chat settings").click()
    await chat.page.get_by_label("Stop sequences").fill("END\n\n ###")
    await chat.page.get_by_role("button", name="Done").click()
    await chat.ask("hello", "short")
    await chat.ends("complete")
    assert server.scripted.requests[-1].options.stop == ["END", " ###"]
    await chat.page.reload()
    assert await chat.page.get_by_label("Stop sequences").input_value() == "END\n ###"
