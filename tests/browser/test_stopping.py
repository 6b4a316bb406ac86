"""Stop, and newer prompts: what happens on the page, and in the model."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chat import Chat
from tests.browser.held import POSTS, STOPS, hold
from tests.browser.test_session_list import begin, entries, open_menu
from tests.support.server import LiveServer


async def test_stop_stops_the_model_and_keeps_what_came(chat: Chat, server: LiveServer) -> None:
    """After Stop the model generates no more; the partial answer stays, labelled, also after a reload."""
    await chat.ask("tell a long story", "long")
    await chat.streams()
    await chat.stop.click()
    await chat.ends("stopped")
    assert server.scripted.ledger.open == 0
    kept = await chat.words()
    assert kept
    await expect(chat.answer().locator("[data-part=label]")).to_have_text("Stopped")
    await expect(chat.status).to_have_text("Stopped")
    await chat.page.reload()
    assert await chat.words() == kept
    await expect(chat.answer().locator("[data-part=label]")).to_have_text("Stopped")


async def test_escape_stops(chat: Chat) -> None:
    """Esc does what Stop does."""
    await chat.ask("tell a long story", "long")
    await chat.streams()
    await chat.page.keyboard.press("Escape")
    await chat.ends("stopped")


async def test_escape_in_another_field_is_meant_for_that(chat: Chat) -> None:
    """In the search it stops nothing, and in an editor it closes that."""
    await chat.ask("tell a long story", "long")
    await chat.streams()
    await chat.page.get_by_role("searchbox").press("Escape")
    prompt = chat.page.locator("article[data-role=user]")
    await prompt.get_by_text("Edit", exact=True).click()
    await prompt.get_by_label("Edit message").press("Escape")
    await expect(prompt.get_by_label("Edit message")).to_be_hidden()
    await expect(prompt.locator(".edit > summary")).to_be_focused()
    before = await chat.words()
    await expect(chat.text()).not_to_have_text(before)
    await chat.streams()
    await chat.box.press("Escape")
    await chat.ends("stopped")


async def test_escape_stops_beside_a_notice(chat: Chat, server: LiveServer) -> None:
    """While the notice is shown, and once it is gone: it takes no key."""
    await begin(server, "Rivers")
    await chat.page.reload()
    await chat.alive()
    await chat.ask("tell a long story", "long")
    await chat.streams()
    await (await open_menu(chat, "Rivers")).get_by_role("button", name="Delete").click()
    undo = chat.page.get_by_role("button", name="Undo")
    await expect(undo).to_be_visible()
    await chat.box.press("Escape")
    await chat.ends("stopped")
    await undo.click()
    await expect(entries(chat)).to_have_count(2)
    await expect(chat.page.locator(":popover-open")).to_have_count(0)


async def test_a_stop_names_its_stream(chat: Chat) -> None:
    """And no other: one that comes too late for its stream leaves the newer one alone."""
    asked: list[str] = []
    chat.page.on("request", lambda request: asked.append(request.url) if request.method == "DELETE" else None)
    await chat.ask("tell a long story", "long")
    await chat.streams()
    stream_id = await chat.answer().get_attribute("data-stream-id")
    await chat.stop.click()
    await chat.ends("stopped")
    assert asked == [f"{chat.url}/api/streams/{stream_id}"]


async def test_stopping_is_shown_at_once(chat: Chat) -> None:
    """Between the click and the end, the button and the answer say "Stopping…"."""
    held = await hold(chat, STOPS)
    await chat.ask("tell a long story", "stubborn")
    await chat.streams()
    await chat.stop.click()
    await expect(chat.page.get_by_role("button", name="Stopping…")).to_be_disabled()
    await expect(chat.answer().locator("[data-part=label]")).to_have_text("Stopping…")
    held.release()
    await chat.ends("stopped")
    await expect(chat.answer().locator("[data-part=label]")).to_contain_text("hasn't confirmed")


async def test_send_becomes_stop_in_the_same_place(chat: Chat) -> None:
    """While an answer is made and nothing is typed, Stop is where Send was; a typed prompt brings Send back.

    From the second prompt on: with the first one the whole composer moves from the middle of the page.
    """
    await chat.ask("hello", "short")
    await chat.ends("complete")
    await chat.box.fill("tell a long story")
    place = await chat.send.bounding_box()
    await chat.ask("tell a long story", "long")
    await chat.streams()
    await expect(chat.send).to_be_hidden()
    taken = await chat.stop.bounding_box()
    assert place is not None
    assert taken is not None
    assert taken["x"] + taken["width"] == place["x"] + place["width"]
    assert taken["y"] == place["y"]
    await chat.box.fill("never mind")
    await expect(chat.send).to_be_visible()
    await expect(chat.stop).to_be_visible()
    await chat.box.fill("")
    await chat.stop.click()
    await chat.ends("stopped")
    await expect(chat.send).to_be_visible()
    await expect(chat.stop).to_be_hidden()


async def test_a_double_click_on_send_does_not_stop(chat: Chat) -> None:
    """The second click of a double click falls on Stop, and is ignored."""
    await chat.choose("long")
    await chat.box.fill("tell a long story")
    held = await hold(chat, POSTS)
    await chat.send.click()
    await expect(chat.send).to_be_visible()  # the draft is still there, so Send is
    held.release()
    await chat.streams()
    box = await chat.stop.bounding_box()
    assert box is not None
    await chat.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await chat.page.mouse.down(click_count=2)
    await chat.page.mouse.up(click_count=2)
    await expect(chat.stop).to_be_enabled()
    assert await chat.answer().get_attribute("data-status") == "streaming"


async def test_stop_before_the_server_has_answered(chat: Chat) -> None:
    """A stop that comes before the stream has a name is sent as soon as it has one."""
    held = await hold(chat, POSTS)
    await chat.ask("tell a long story", "long")
    await chat.page.keyboard.press("Escape")
    await expect(chat.answer()).to_contain_text("Stopping…")
    held.release()
    await chat.ends("stopped")


async def test_a_newer_prompt_supersedes(chat: Chat, server: LiveServer) -> None:
    """Enter during an answer starts the next; the old answer stays, labelled, and grows no more."""
    await chat.ask("tell a long story", "long")
    await chat.streams()
    await chat.ask("no, this instead", "short")
    await chat.ends("superseded", 0)
    old = await chat.words(0)
    await chat.ends("complete", 1)
    assert await chat.words(0) == old != ""
    assert await chat.words(1) == "Hello! What would you like to know?"
    await expect(chat.answer(0).locator("[data-part=label]")).to_have_text("Replaced by a newer message")
    assert server.scripted.ledger.most_open == 1


async def test_five_quick_prompts_leave_the_last_one_running(chat: Chat) -> None:
    """Of prompts sent one after the other the last is answered; each of the others ends superseded, in order."""
    await chat.choose("echo")
    for number in range(5):
        await chat.ask(f"prompt number {number} with some words to say back")
    await chat.ends("complete")
    await expect(chat.answers).to_have_count(5)
    await expect(chat.prompts).to_have_text(
        [f"prompt number {number} with some words to say back" for number in range(5)]
    )
    assert await chat.words() == "prompt number 4 with some words to say back"
    outcomes = await asyncio.gather(*(chat.answer(index).get_attribute("data-outcome") for index in range(5)))
    assert set(outcomes[:4]) <= {"superseded", "complete"}
    await expect(
        chat.page.locator("article[data-status=thinking], article[data-status=streaming]")
    ).to_have_count(0)


@pytest.mark.parametrize("way", ["click", "key", "Escape"])
async def test_the_focus_outlives_stop(chat: Chat, way: str) -> None:
    """Stop goes, and what takes its place is at hand: the message box; Escape leaves the focus where it is."""
    held = await hold(chat, STOPS)
    await chat.ask("tell a long story", "long")
    await chat.streams()
    if way == "Escape":
        await chat.page.get_by_role("log").focus()
        await chat.page.keyboard.press("Escape")
    elif way == "key":
        await chat.stop.focus()
        await chat.page.keyboard.press("Enter")
    else:
        await chat.stop.click()
    stopping = chat.page.get_by_role("button", name="Stopping…")
    await expect(stopping).to_be_visible()
    if way != "Escape":
        await expect(stopping).to_be_focused()
    held.release()
    await chat.ends("stopped")
    await expect(stopping).to_be_hidden()
    await expect(chat.page.get_by_role("log") if way == "Escape" else chat.box).to_be_focused()


async def test_on_a_phone_no_keyboard_comes_up_after_stop(browser: Browser, server: LiveServer) -> None:
    """Send has the focus there, in the place of Stop."""
    context = await browser.new_context(
        has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800}
    )
    chat = Chat(await context.new_page(), server.url)
    await chat.open("/")
    await chat.choose("long")
    await chat.box.fill("tell a long story")
    await chat.send.tap()
    await chat.streams()
    await chat.stop.focus()
    await chat.stop.tap()
    await chat.ends("stopped")
    await expect(chat.send).to_be_focused()
    await context.close()
