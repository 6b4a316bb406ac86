"""The list of sessions with scripts: search as one types, More, rename in place, delete."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, BrowserContext, FilePayload, Locator, Route, expect

from app.chat import undo
from app.web.rules import PAGE_SIZE
from tests.browser.chat import TWO_FRAMES, Chat
from tests.browser.held import POSTS, hold
from tests.support.server import LiveServer


async def begin(server: LiveServer, *titles: str) -> None:
    """Let there be sessions `s0`, `s1`, … whose first prompts are these."""
    for number, title in enumerate(titles):
        await server.client.ask(f"s{number}", title, model="scripted/short")


def entries(chat: Chat) -> Locator:
    """The sessions in the list."""
    return chat.page.locator("#sessions .session")


async def open_menu(chat: Chat, title: str) -> Locator:
    """Open the menu of a session; return it."""
    await chat.page.get_by_role("link", name=f"Chat options for “{title}”").focus()
    await chat.page.keyboard.press("Enter")
    menu = chat.page.locator("#session-menu")
    await expect(menu).to_be_visible()
    return menu


async def begin_title(chat: Chat, title: str) -> Locator:
    """Choose Rename in the menu of a session; return the field."""
    menu = await open_menu(chat, title)
    await menu.get_by_role("button", name="Rename").click()
    field = chat.page.get_by_label("Title")
    await expect(field).to_be_focused()
    return field


async def test_the_list_is_searched_as_one_types(chat: Chat, server: LiveServer) -> None:
    """In titles and messages, without leaving the page; emptying the field brings all back."""
    await begin(server, "Rivers", "The overshot wheel", "Bread")
    await chat.open("/sessions/s0")
    await chat.box.fill("half a thought")
    search = chat.page.get_by_role("searchbox")
    await search.press_sequentially("WHEEL")
    await expect(entries(chat)).to_have_text(["The overshot wheel"])
    await search.fill("nowhere")
    await expect(chat.page.get_by_text("No matching chats")).to_be_visible()
    await search.fill("")
    await expect(entries(chat)).to_have_text(["Bread", "The overshot wheel", "Rivers"])
    await expect(entries(chat).nth(2)).to_have_attribute("aria-current", "page")
    await expect(chat.box).to_have_value("half a thought")


async def test_more_continues_the_list(chat: Chat, server: LiveServer) -> None:
    """It appends, and the focus goes to what is new; at the end it is gone."""
    posts = [
        server.client.post(f"s{number}", f"number {number}", model="scripted/short") for number in range(53)
    ]
    registered = await asyncio.gather(*posts)
    await asyncio.gather(*(server.client.read_stream(each["stream_id"]) for each in registered))
    await chat.open("/")
    await expect(entries(chat)).to_have_count(50)
    await chat.page.get_by_role("link", name="Show older chats", exact=True).click()
    await expect(entries(chat)).to_have_count(53)
    await expect(entries(chat).nth(50)).to_be_focused()
    await expect(chat.page.locator("[data-part=further]")).to_be_hidden()
    assert len(set(await entries(chat).all_text_contents())) == 53


async def test_a_session_is_renamed_in_place(chat: Chat, server: LiveServer) -> None:
    """Enter keeps the new title, wherever the page says it, and the server has it."""
    await begin(server, "Rivers")
    await chat.open("/sessions/s0")
    field = await begin_title(chat, "Rivers")
    await field.fill("Brooks & streams")
    await field.press("Enter")
    await expect(entries(chat)).to_have_text(["Brooks & streams"])
    await expect(chat.page).to_have_title("Brooks & streams · Tailrace")
    await expect(chat.page.get_by_role("heading", level=1)).to_have_text("Brooks & streams")
    assert (await server.client.get("/api/sessions/s0"))["title"] == "Brooks & streams"


async def test_escape_leaves_the_title(chat: Chat, server: LiveServer) -> None:
    """And does not stop the answer that is being written meanwhile."""
    await begin(server, "Rivers")
    await chat.open("/sessions/s0")
    await chat.ask("tell a long story", "long")
    await chat.streams()
    await (await begin_title(chat, "Rivers")).fill("Something else")
    await chat.page.keyboard.press("Escape")
    await expect(entries(chat)).to_have_text(["Rivers"])
    await expect(chat.answer()).to_have_attribute("data-status", "streaming")
    await chat.stop.click()
    await chat.ends("stopped")


async def test_a_refused_title_is_taken_back(chat: Chat, server: LiveServer) -> None:
    """The list says what the server has, and why."""
    await begin(server, "Rivers")
    await chat.open("/sessions/s0")
    problem = '{"code": "invalid_title", "status": 422, "title": "", "detail": "Not this title."}'

    async def refuse(route: Route) -> None:
        if route.request.method == "PATCH":
            await route.fulfill(status=422, content_type="application/problem+json", body=problem)
        else:
            await route.continue_()

    await chat.page.route("**/api/sessions/s0", refuse)
    await (await begin_title(chat, "Rivers")).fill("Something else")
    await chat.page.keyboard.press("Enter")
    await expect(chat.page.locator("[data-part=toast]")).to_contain_text("Not this title.")
    await expect(entries(chat)).to_have_text(["Rivers"])


async def test_a_title_that_does_not_reach_the_server_is_kept(chat: Chat, server: LiveServer) -> None:
    """In its field, so that Enter tries again; but the field takes no focus from what the user does meanwhile."""
    await begin(server, "Rivers")
    await chat.open("/sessions/s0")
    await chat.page.route("**/api/sessions/s0", lambda route: route.abort())
    field = await begin_title(chat, "Rivers")
    await field.fill("Brooks")
    await field.press("Enter")
    await expect(chat.page.locator("[data-part=toast]")).to_contain_text("Check your connection")
    await expect(field).to_be_focused()
    await expect(field).to_have_value("Brooks")
    await field.fill("Brooks & streams")
    await chat.box.focus()
    await expect(field).to_have_value("Brooks & streams")
    await expect(chat.box).to_be_focused()
    await chat.page.unroute("**/api/sessions/s0")
    menu = await open_menu(chat, "Rivers")
    await menu.get_by_role("button", name="Rename").click()
    await expect(field).to_be_focused()
    await field.press("Enter")
    await expect(entries(chat)).to_have_text(["Brooks & streams"])
    assert (await server.client.get("/api/sessions/s0"))["title"] == "Brooks & streams"


async def test_the_menu_is_used_with_the_keyboard(chat: Chat, server: LiveServer) -> None:
    """Arrows go round in it; Escape closes it and gives the focus back."""
    await begin(server, "Rivers")
    await chat.open("/sessions/s0")
    menu = await open_menu(chat, "Rivers")
    for key, name in (("ArrowDown", "Export as Markdown"), ("ArrowUp", "Rename"), ("ArrowUp", "Delete")):
        await chat.page.keyboard.press(key)
        await expect(menu.get_by_text(name)).to_be_focused()
    await chat.page.keyboard.press("Escape")
    await expect(menu).to_be_hidden()
    await expect(chat.page.get_by_role("link", name="Chat options for “Rivers”")).to_be_focused()


async def test_what_confirms_a_word_does_not_end_the_title(chat: Chat, server: LiveServer) -> None:
    """Safari sends the Enter of an input method after the composition, with the key code 229."""
    await begin(server, "Rivers")
    await chat.open("/sessions/s0")
    field = await begin_title(chat, "Rivers")
    await field.fill("川")
    await field.dispatch_event("keydown", {"key": "Enter", "keyCode": 229, "bubbles": True})
    await expect(field).to_be_focused()
    await field.press("Enter")
    await expect(entries(chat)).to_have_text(["川"])


async def test_a_chat_with_a_new_prompt_is_the_first(chat: Chat, server: LiveServer) -> None:
    """As it is after a reload."""
    await begin(server, "Rivers", "Wheels", "Mills")
    await chat.open("/sessions/s0")
    await expect(entries(chat)).to_have_text(["Mills", "Wheels", "Rivers"])
    await chat.ask("more", "short")
    await expect(entries(chat)).to_have_text(["Rivers", "Mills", "Wheels"])
    await chat.ends("complete", 1)
    await chat.page.reload()
    await expect(entries(chat)).to_have_text(["Rivers", "Mills", "Wheels"])


async def test_what_does_not_load_is_told_and_loads_later(
    chat: Chat, context: BrowserContext, server: LiveServer
) -> None:
    """The menu, the search and the copying come with their first use, which may be without a connection."""
    await begin(server, "Rivers", "Wheels")
    await chat.open("/sessions/s0")
    complaint = chat.page.get_by_role("alert")
    late = "**/*{session_menu,session_entries,clipboard}*.js*"
    await context.route(late, lambda route: route.abort())
    menu = chat.page.get_by_role("link", name="Chat options for “Wheels”")
    copy = chat.answer().locator("[data-part=copy]")
    searchbox = chat.page.get_by_role("searchbox")
    for use in (menu.click(), searchbox.fill("Wh"), copy.click()):
        await use
        await expect(complaint).to_contain_text("Check your connection")
        await chat.ask("hello", "short")
        await expect(complaint).to_be_hidden()
    await context.unroute(late)
    await searchbox.fill("Whe")
    await expect(entries(chat)).to_have_text(["Wheels"])
    await menu.click()
    await expect(chat.page.locator("#session-menu")).to_be_visible()


async def test_a_notice_stays_while_it_is_used(chat: Chat, server: LiveServer) -> None:
    """Whoever has the focus on Undo is about to press it."""
    await begin(server, "Rivers", "Wheels")
    await chat.open("/sessions/s0")
    await chat.page.clock.install()
    menu = await open_menu(chat, "Wheels")
    await menu.get_by_role("button", name="Delete").click()
    undo = chat.page.get_by_role("button", name="Undo")
    await undo.focus()
    await chat.page.clock.run_for(15_000)
    await expect(undo).to_be_focused()
    await chat.box.focus()
    await chat.page.clock.run_for(15_000)
    await expect(undo).to_be_hidden()


async def test_an_undo_is_not_offered_for_longer_than_it_is_possible(chat: Chat, server: LiveServer) -> None:
    """Whoever forgets the pointer on it: the server has deleted the chat for good by then."""
    await begin(server, "Rivers", "Wheels")
    await chat.open("/sessions/s0")
    await chat.page.clock.install()
    menu = await open_menu(chat, "Wheels")
    await menu.get_by_role("button", name="Delete").click()
    undo_button = chat.page.get_by_role("button", name="Undo")
    await undo_button.hover()
    await chat.page.clock.run_for(30_000)
    await expect(undo_button).to_be_visible()
    rest = undo.SECONDS - 30 - 10  # the answer to the deletion, and the restoring, take a while
    await chat.page.clock.run_for(round(rest * 1000))
    await expect(undo_button).to_be_hidden()


async def test_an_undo_that_does_not_reach_the_server_is_offered_again(
    chat: Chat, server: LiveServer
) -> None:
    """With the sentence that says why."""
    await begin(server, "Rivers", "Wheels")
    await chat.open("/sessions/s0")
    menu = await open_menu(chat, "Wheels")
    await menu.get_by_role("button", name="Delete").click()
    undo_button = chat.page.get_by_role("button", name="Undo")
    await chat.page.route("**/restore", lambda route: route.abort())
    await undo_button.click()
    await expect(chat.page.locator("[data-part=toast-text]")).to_contain_text("reach")
    await chat.page.unroute("**/restore")
    await undo_button.click()
    await expect(entries(chat)).to_have_text(["Wheels", "Rivers"])


async def test_the_menu_exports(chat: Chat, server: LiveServer) -> None:
    """Its links name the session that it was opened at."""
    await begin(server, "Rivers", "Wheels")
    await chat.open("/sessions/s0")
    for title, session_id in (("Rivers", "s0"), ("Wheels", "s1")):
        menu = await open_menu(chat, title)
        for name, form in (("Markdown", "markdown"), ("JSON", "json")):
            link = menu.get_by_role("link", name=f"Export as {name}")
            await expect(link).to_have_attribute("href", f"/api/sessions/{session_id}/export?format={form}")
        await chat.page.keyboard.press("Escape")


async def test_a_rename_outlives_a_prompt_that_is_accepted(chat: Chat, server: LiveServer) -> None:
    """The session goes to the head of the list; while its title is typed it stays, and so does the field."""
    await begin(server, "Rivers", "Wheels")
    await chat.open("/sessions/s0")
    held = await hold(chat, POSTS)
    await chat.ask("and brooks", "short")
    field = await begin_title(chat, "Rivers")
    await field.press_sequentially("Rivers and ")
    async with chat.page.expect_response(POSTS):
        held.release()
    await chat.ends("complete", 1)
    await chat.page.evaluate(TWO_FRAMES)
    await expect(field).to_be_focused()
    await field.press_sequentially("brooks")
    await field.press("Enter")
    await expect(entries(chat)).to_have_text(["Rivers and brooks", "Wheels"])


async def test_deleting_another_session_leaves_the_page(chat: Chat, server: LiveServer) -> None:
    """It goes from the list, the server forgets it, and the focus stays in the list."""
    await begin(server, "Rivers", "Wheels")
    await chat.open("/sessions/s0")
    menu = await open_menu(chat, "Wheels")
    await menu.get_by_role("button", name="Delete").click()
    await expect(entries(chat)).to_have_text(["Rivers"])
    await expect(entries(chat).first).to_be_focused()
    await expect(chat.page.locator("[data-part=toast]")).to_contain_text("Chat deleted")
    assert (await server.client.get("/api/sessions/s1"))["http"] == 404


async def test_the_focus_goes_to_undo_once_no_chat_is_left(chat: Chat, server: LiveServer) -> None:
    """There is no other entry that could have it."""
    await begin(server, "Rivers")
    await chat.open("/")
    menu = await open_menu(chat, "Rivers")
    await menu.get_by_role("button", name="Delete").press("Enter")
    await expect(entries(chat)).to_have_count(0)
    await expect(chat.page.get_by_role("button", name="Undo")).to_be_focused()
    await chat.page.keyboard.press("Enter")
    await expect(entries(chat).first).to_be_focused()


async def test_a_deletion_is_undone(chat: Chat, server: LiveServer) -> None:
    """The session stands where it stood, with its messages."""
    await begin(server, "Rivers", "Wheels", "Bread")
    await chat.open("/sessions/s0")
    menu = await open_menu(chat, "Wheels")
    await menu.get_by_role("button", name="Delete").click()
    await chat.page.get_by_role("button", name="Undo").click()
    await expect(entries(chat)).to_have_text(["Bread", "Wheels", "Rivers"])
    await expect(entries(chat).nth(1)).to_be_focused()
    assert len((await server.client.get("/api/sessions/s1"))["messages"]) == 2


async def test_a_deletion_that_is_undone_is_listed_once(chat: Chat, server: LiveServer) -> None:
    """The server tells of the restored session before its answer arrives, and the list is refreshed."""
    await begin(server, "Rivers", "Wheels", "Bread")
    await chat.open("/sessions/s0")

    async def answer_late(route: Route) -> None:
        response = await route.fetch()
        await expect(entries(chat)).to_have_text(["Bread", "Wheels", "Rivers"])
        await route.fulfill(response=response)

    await chat.page.route("**/restore", answer_late)
    menu = await open_menu(chat, "Wheels")
    await menu.get_by_role("button", name="Delete").click()
    await chat.page.get_by_role("button", name="Undo").click()
    await expect(entries(chat).nth(1)).to_be_focused()
    await expect(entries(chat)).to_have_text(["Bread", "Wheels", "Rivers"])


async def test_deleting_the_session_that_is_shown_leads_to_a_new_one(chat: Chat, server: LiveServer) -> None:
    """Whose page offers the undo."""
    await begin(server, "Rivers")
    await chat.open("/sessions/s0")
    menu = await open_menu(chat, "Rivers")
    await menu.get_by_role("button", name="Delete").click()
    await chat.page.wait_for_url("**/?deleted=s0")
    await expect(chat.page.locator("[data-part=toast]")).to_be_visible()
    await expect(chat.page.get_by_text("Your chats will appear here.")).to_be_visible()
    await chat.page.get_by_role("button", name="Undo").click()
    await chat.page.wait_for_url("**/sessions/s0")
    await expect(chat.prompts).to_have_text("Rivers")
    await chat.page.go_back()
    await chat.page.wait_for_url("**/?deleted=s0")
    await chat.alive()
    await expect(entries(chat)).to_have_text(["Rivers"])
    assert await chat.page.locator("[data-part=toast]").is_hidden()  # it is done


async def test_the_list_works_without_scripts(browser: Browser, server: LiveServer) -> None:
    """Search, rename, delete and undo are forms and pages."""
    await begin(server, "Rivers", "Wheels")
    context = await browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 800})
    chat = Chat(await context.new_page(), server.url)
    await chat.page.goto(server.url)
    search = chat.page.get_by_role("searchbox")
    await search.fill("wheel")
    await search.press("Enter")
    await expect(entries(chat)).to_have_text(["Wheels"])
    await chat.page.get_by_role("link", name="Chat options for “Wheels”").click()
    await chat.page.get_by_label("Title").fill("Water wheels")
    await chat.page.get_by_role("button", name="Rename").click()
    await expect(chat.page.get_by_role("heading", level=1)).to_have_text("Water wheels")
    await chat.page.get_by_role("link", name="Chat options for “Water wheels”").click()
    await chat.page.get_by_role("button", name="Delete").click()
    await expect(entries(chat)).to_have_text(["Rivers"])
    await chat.page.get_by_role("button", name="Undo").click()
    await expect(chat.prompts).to_have_text("Wheels")
    await context.close()


async def test_an_export_is_imported_without_scripts(browser: Browser, server: LiveServer) -> None:
    """What one form gives, another one takes."""
    await begin(server, "Rivers")
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{server.url}/sessions/s0/manage")
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Export as JSON").click()
    await page.goto(server.url)
    await page.get_by_role("button", name="Preferences").click()
    await page.get_by_label("Import a chat").set_input_files(await (await downloading.value).path())
    await page.get_by_role("button", name="Import", exact=True).click()
    await page.wait_for_url("**/sessions/*")
    await expect(page.locator("#sessions .session")).to_have_text(["Rivers", "Rivers"])
    await context.close()


async def test_an_export_arrives(chat: Chat, server: LiveServer) -> None:
    """Each form is a file with what was said, and the page stays."""
    await begin(server, "Rivers", "Wheels")
    await chat.open("/sessions/s1")
    await chat.box.fill("half a thought")
    for name, ending in (("Markdown", ".md"), ("JSON", ".json")):
        menu = await open_menu(chat, "Rivers")
        async with chat.page.expect_download() as downloading:
            await menu.get_by_role("link", name=f"Export as {name}").click()
        download = await downloading.value
        text = (await download.path()).read_text(encoding="utf-8")
        assert download.suggested_filename.endswith(ending)
        assert "Rivers" in text
        assert "Hello! What would you like to know?" in text
        assert "Wheels" not in text
        await expect(menu).to_be_hidden()
    await expect(chat.box).to_have_value("half a thought")


async def test_an_export_is_imported(chat: Chat, server: LiveServer) -> None:
    """It becomes another session with the same messages; a file that is none is refused with a sentence."""
    await begin(server, "Rivers")
    exported = await chat.page.request.get(f"{server.url}/api/sessions/s0/export?format=json")

    async def give(content: bytes) -> None:
        await chat.open("/")
        await chat.page.get_by_role("button", name="Preferences").click()
        file: FilePayload = {"name": "chat.json", "mimeType": "application/json", "buffer": content}
        await chat.page.get_by_label("Import a chat").set_input_files([file])
        await chat.page.get_by_role("button", name="Import", exact=True).click()

    await give(b"no conversation")
    await expect(chat.page.locator("#preferences").get_by_role("alert")).to_contain_text("JSON")
    await expect(chat.page.get_by_label("Import a chat")).to_be_visible()
    await give(await exported.body())
    await chat.page.wait_for_url("**/sessions/*")
    await chat.alive()
    await expect(entries(chat)).to_have_text(["Rivers", "Rivers"])
    await expect(chat.prompts).to_have_text(["Rivers"])
    await expect(chat.text()).to_have_text("Hello! What would you like to know?")


@pytest.mark.parametrize("scripts", [True, False])
async def test_an_old_chat_is_marked_in_the_list(browser: Browser, server: LiveServer, scripts: bool) -> None:
    """Under those that are listed, until they are listed further, and not where something is searched for."""
    for number in range(PAGE_SIZE + 2):
        await server.client.ask(f"s{number}", f"chat {number}", model="scripted/short")
    context = await browser.new_context(java_script_enabled=scripts)
    page = await context.new_page()
    await page.goto(f"{server.url}/sessions/s0")
    current = page.locator(".sessions [aria-current=page]")
    await expect(current).to_have_text("chat 0")
    await expect(current).to_be_in_viewport(ratio=1)
    assert await page.locator("#sessions [aria-current]").count() == 0
    await page.get_by_role("link", name="Show older chats").click()
    await expect(page.locator("#sessions [aria-current]:visible")).to_have_text("chat 0")
    await expect(page.locator(".sessions [aria-current]:visible")).to_have_count(1)
    await page.get_by_label("Search chats").fill("51")
    await page.get_by_label("Search chats").press("Enter")
    await expect(page.locator("#sessions li")).to_have_count(1)
    await expect(page.locator(".elsewhere")).to_be_hidden()
    await context.close()


async def test_a_mistake_in_a_form_is_told_on_its_page(browser: Browser, server: LiveServer) -> None:
    """Without scripts, too: a file that is no chat, an undo that comes too late."""
    await begin(server, "Rivers")
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{server.url}/sessions/s0")
    await page.get_by_role("button", name="Preferences").click()
    file: FilePayload = {"name": "chat.json", "mimeType": "application/json", "buffer": b"no chat"}
    await page.get_by_label("Import a chat").set_input_files([file])
    await page.get_by_role("button", name="Import", exact=True).click()
    await expect(page.locator("[data-part=error]")).to_contain_text("JSON")
    await expect(page.locator("article[data-role=user] [data-part=content]")).to_have_text("Rivers")
    await server.client.delete("/api/sessions/s0")
    await page.goto(f"{server.url}/?deleted=s0")
    await page.request.post(f"{server.url}/api/sessions/s0/restore")  # in another tab
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator("[data-part=error]")).to_contain_text("restored")
    await expect(page.get_by_label("Message", exact=True)).to_be_visible()
    await context.close()
