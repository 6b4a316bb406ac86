"""Two tabs of one browser: what one does with the sessions, the other one shows."""

from __future__ import annotations

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, expect

from tests.browser.chat import TWO_FRAMES, Chat
from tests.browser.held import hold
from tests.browser.test_session_list import begin, begin_title, entries, open_menu
from tests.support.server import LiveServer


@pytest_asyncio.fixture(loop_scope="session")
async def other(context: BrowserContext, server: LiveServer) -> Chat:
    """A second tab, which shows `s0` of the sessions `Rivers` and `Wheels`."""
    await begin(server, "Rivers", "Wheels")
    page = Chat(await context.new_page(), server.url)
    await page.open("/sessions/s0")
    return page


async def rename(chat: Chat, before: str, after: str) -> None:
    """Give a session another title."""
    field = await begin_title(chat, before)
    await field.fill(after)
    await field.press("Enter")


async def delete(chat: Chat, title: str) -> None:
    """Delete a session."""
    await (await open_menu(chat, title)).get_by_role("button", name="Delete").click()


async def test_a_session_is_renamed_in_all_tabs(chat: Chat, other: Chat) -> None:
    """In their lists, and on the page that shows it."""
    await chat.open("/sessions/s1")
    await rename(chat, "Rivers", "Brooks")
    await expect(entries(other)).to_have_text(["Wheels", "Brooks"])
    await expect(other.page).to_have_title("Brooks · Tailrace")
    await expect(other.page.get_by_role("heading", level=1)).to_have_text("Brooks")
    await expect(other.page.get_by_role("link", name="Chat options for “Brooks”")).to_be_visible()
    await rename(other, "Wheels", "Mills")
    await expect(entries(chat)).to_have_text(["Mills", "Brooks"])
    await expect(chat.page).to_have_title("Mills · Tailrace")


async def test_a_new_session_is_listed_in_all_tabs(chat: Chat, other: Chat) -> None:
    """At the head of the list; where somebody is in the list, the focus stays there."""
    focused = entries(other).filter(has_text="Rivers")
    await focused.focus()
    await chat.ask("Bread", "short")
    await expect(entries(other)).to_have_text(["Bread", "Wheels", "Rivers"])
    await expect(focused).to_be_focused()
    await expect(focused).to_have_attribute("aria-current", "page")


async def test_a_title_that_is_typed_stays(chat: Chat, other: Chat) -> None:
    """What another tab changes does not take the field away."""
    field = await begin_title(other, "Rivers")
    await field.fill("Broo")
    await chat.ask("Bread", "short")
    await expect(entries(other)).to_have_text(["Bread", "Wheels"])
    await expect(field).to_be_focused()
    await field.press_sequentially("ks")
    await field.press("Enter")
    await expect(entries(other)).to_have_text(["Bread", "Wheels", "Brooks"])
    await expect(entries(chat)).to_have_text(["Bread", "Wheels", "Brooks"])


async def test_a_search_stays_a_search(chat: Chat, other: Chat) -> None:
    """Only what is searched for is listed."""
    await chat.open("/sessions/s1")
    await other.page.get_by_role("searchbox").fill("Riv")
    await expect(entries(other)).to_have_text(["Rivers"])
    await rename(chat, "Rivers", "Rivulets")
    await expect(entries(other)).to_have_text(["Rivulets"])


async def test_a_deletion_and_its_undo_are_seen_in_all_tabs(chat: Chat, other: Chat) -> None:
    """The session goes from the list, and comes back to its place."""
    await chat.open("/sessions/s0")
    await delete(chat, "Wheels")
    await expect(entries(other)).to_have_text(["Rivers"])
    await chat.page.get_by_role("button", name="Undo").click()
    await expect(entries(other)).to_have_text(["Wheels", "Rivers"])


async def test_a_session_that_another_tab_deleted_says_so(chat: Chat, other: Chat) -> None:
    """It can be read on; when it is brought back, by a form as here, the page is what it was."""
    await chat.open("/sessions/s0")
    await other.box.fill("half a thought")
    await delete(chat, "Rivers")
    await expect(entries(other)).to_have_text(["Wheels"])
    await expect(other.page.get_by_role("alert")).to_contain_text("This chat is gone")
    await expect(other.prompts).to_have_text(["Rivers"])
    await chat.page.wait_for_url("**/?deleted=s0")
    await chat.alive()
    await chat.page.get_by_role("button", name="Undo").click()
    await expect(entries(other)).to_have_text(["Wheels", "Rivers"])
    await expect(other.page.locator("[data-part=error]")).to_be_hidden()
    await expect(other.box).to_have_value("half a thought")
    await other.ask("and on", "echo")
    await other.ends("complete")
    await expect(other.prompts).to_have_text(["Rivers", "and on"])


async def test_a_deleted_session_begins_anew(chat: Chat, other: Chat, server: LiveServer) -> None:
    """The newest prompt is answered, as the first of a session."""
    await other.answer().get_by_role("button", name="Regenerate").click()
    await other.answer().get_by_label("Previous version").click()
    await other.page.wait_for_url("**/sessions/s0?branch=*")
    await chat.open("/")
    await delete(chat, "Rivers")
    await expect(other.page.get_by_role("alert")).to_contain_text("Your next message starts a new one")
    await other.ask("Bread", "echo")
    await expect(other.prompts).to_have_text(["Bread"])
    await expect(other.text()).to_have_text("Bread")
    await expect(other.page).to_have_title("Bread · Tailrace")
    await expect(entries(other)).to_have_text(["Bread", "Wheels"])
    await expect(entries(chat)).to_have_text(["Bread", "Wheels"])
    await expect(other.page.locator("[data-part=error]")).to_be_hidden()
    assert len((await server.client.get("/api/sessions/s0"))["messages"]) == 2


async def test_what_is_done_elsewhere_is_seen(browser: Browser, other: Chat, server: LiveServer) -> None:
    """In another browser, with plain forms, and through the API: by the event stream of the page."""
    plain = await browser.new_context(java_script_enabled=False)
    page = await plain.new_page()
    await page.goto(f"{server.url}/sessions/s0/manage")
    await page.get_by_label("Title").fill("Brooks")
    await page.get_by_role("button", name="Rename").click()
    await expect(entries(other)).to_have_text(["Wheels", "Brooks"])
    await expect(other.page).to_have_title("Brooks · Tailrace")
    await page.goto(f"{server.url}/sessions/s1/manage")
    await page.get_by_role("button", name="Delete").click()
    await expect(entries(other)).to_have_text(["Brooks"])
    await page.get_by_role("button", name="Undo").click()
    await expect(entries(other)).to_have_text(["Wheels", "Brooks"])
    await plain.close()
    async with server.client.http.patch("/api/sessions/s1", json={"title": "Mills"}) as response:
        assert response.status == 200
    await expect(entries(other)).to_have_text(["Mills", "Brooks"])
    await server.client.delete("/api/sessions/s0")
    await expect(entries(other)).to_have_text(["Mills"])
    await expect(other.page.get_by_role("alert")).to_contain_text("This chat is gone")


async def test_a_prompt_keeps_the_settings_that_another_tab_gave(
    chat: Chat, other: Chat, server: LiveServer
) -> None:
    """A tab sends its own settings only if they were changed there."""
    await chat.open("/sessions/s0")
    await chat.page.get_by_role("button", name="Chat settings").click()
    async with chat.page.expect_response(lambda response: response.request.method == "PATCH"):
        await chat.page.get_by_label("System prompt", exact=True).fill("You are a pirate.")
        await chat.page.get_by_label("System prompt", exact=True).press("Tab")
    await other.ask("hello", "short")
    await other.ends("complete", 1)
    assert (await server.client.get("/api/sessions/s0"))["options"] == {"system": "You are a pirate."}


async def test_the_settings_panel_shows_what_another_tab_gave(
    chat: Chat, other: Chat, server: LiveServer
) -> None:
    """Once it opens, so what is changed there next sends no old ones back. What is typed there meanwhile stays."""
    await server.client.http.patch("/api/sessions/s0", json={"options": {"system": "You are a pirate."}})
    system = other.page.get_by_label("System prompt", exact=True)
    await expect(system).to_have_value("")
    await other.page.get_by_role("button", name="Chat settings").click()
    await expect(system).to_have_value("You are a pirate.")
    async with other.page.expect_response(lambda response: response.request.method == "PATCH"):
        await other.page.get_by_label("Seed").fill("7")
        await other.page.get_by_role("button", name="Done").click()
    options = {"system": "You are a pirate.", "seed": 7}
    assert (await server.client.get("/api/sessions/s0"))["options"] == options
    await server.client.http.patch("/api/sessions/s0", json={"options": {"system": "You are a parrot."}})
    held = await hold(other, "**/snapshot*")
    async with other.page.expect_response("**/snapshot*"):
        await other.page.get_by_role("button", name="Chat settings").click()
        await system.fill("You are a king.")
        held.release()
    await other.page.evaluate(TWO_FRAMES)
    await expect(system).to_have_value("You are a king.")


async def test_a_prompt_keeps_the_draft_of_another_tab(chat: Chat, other: Chat) -> None:
    """Each tab has a draft of its own, which a reload brings back; a new tab gets the last one."""
    await chat.open("/sessions/s0")
    await chat.box.fill("half a thought")
    await other.ask("hello", "short")
    await other.ends("complete", 1)
    await chat.page.reload()
    await expect(chat.box).to_have_value("half a thought")
    await chat.box.fill("a whole one")
    third = Chat(await chat.page.context.new_page(), chat.url)
    await third.open("/sessions/s0")
    await expect(third.box).to_have_value("a whole one")
    await third.box.press("Enter")
    await third.ends("complete", 2)
    await third.page.reload()
    await expect(third.box).to_have_value("")
