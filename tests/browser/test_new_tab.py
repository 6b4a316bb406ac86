"""A tab at `/` in which nothing was asked yet: it hears of other chats, and of the first prompt of its own."""

from __future__ import annotations

from playwright.async_api import BrowserContext, Route, expect

from app.chat.scoped_ids import LOCAL
from tests.browser.chat import Chat
from tests.browser.test_session_list import entries
from tests.support.server import LiveServer
from tests.support.waiting import until


async def session_of(chat: Chat) -> str:
    """Return the id that the tab's session will have."""
    return str(await chat.page.locator("tailrace-session").get_attribute("data-session-id"))


async def waits(chat: Chat, server: LiveServer) -> None:
    """Return once the tab listens for its session, which does not exist; the page before it listened for another."""
    session_id = await session_of(chat)
    await until(lambda: server.registry.arrivals.is_awaited(LOCAL, session_id))


async def test_a_chat_that_is_begun_elsewhere_is_listed(chat: Chat, server: LiveServer) -> None:
    """By a program, say; the page is still that of a new chat."""
    await chat.open("/")
    await waits(chat, server)
    await server.client.post("elsewhere", "Of rivers", model="scripted/short")
    await expect(entries(chat)).to_have_text(["Of rivers"])
    await expect(chat.page).to_have_url(f"{server.url}/")
    assert await chat.page.locator("article").count() == 0


async def test_the_first_prompt_from_elsewhere_is_shown(chat: Chat, server: LiveServer) -> None:
    """The page becomes that chat's, with its address, title and entry; what was typed stays, as its draft."""
    await chat.open("/")
    await waits(chat, server)
    await chat.box.fill("half a thought")
    session_id = await session_of(chat)
    await server.client.post(session_id, "Of rivers", model="scripted/short")
    await chat.ends("complete")
    await expect(chat.page).to_have_url(f"{server.url}/sessions/{session_id}")
    await expect(chat.page).to_have_title("Of rivers · Tailrace")
    await expect(entries(chat)).to_have_text(["Of rivers"])
    await expect(chat.box).to_have_value("half a thought")
    await chat.page.reload()
    await expect(chat.box).to_have_value("half a thought")
    await chat.open("/")
    await expect(chat.box).to_have_value("")


async def test_what_began_while_nobody_listened_is_caught_up_with(chat: Chat, server: LiveServer) -> None:
    """The tab was away when its session began and when the answer ended."""
    await chat.open("/")
    await waits(chat, server)
    await chat.page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    await until(lambda: server.registry.arrivals.waiting == 0)
    session_id = await session_of(chat)
    await server.client.ask(session_id, "Of rivers", model="scripted/short")
    await chat.page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await chat.ends("complete")
    await expect(chat.page).to_have_title("Of rivers · Tailrace")


async def test_a_new_tab_hears_while_another_works(
    chat: Chat, context: BrowserContext, server: LiveServer
) -> None:
    """Both through one connection; the new tab stays as it is."""
    other = Chat(await context.new_page(), server.url)
    await other.open("/")
    await chat.open("/")
    await chat.ask("Of mills", "short")
    await chat.ends("complete")
    await expect(entries(other)).to_have_text(["Of mills"])
    assert await other.page.locator("article").count() == 0
    await expect(other.page).to_have_url(f"{server.url}/")


async def test_a_refused_connection_of_a_new_tab_says_nothing(chat: Chat, server: LiveServer) -> None:
    """There is nothing to be lost yet; and later it is open after all."""
    refusals = 2

    async def refuse(route: Route) -> None:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            await route.fulfill(status=502, body="not now")
        else:
            await route.continue_()

    await chat.page.add_init_script("delete window.SharedWorker")  # whose requests Playwright cannot hold
    await chat.page.route("**/events?**", refuse)
    await chat.open("/")
    await until(lambda: refusals < 0)
    await waits(chat, server)
    await expect(chat.page.locator('[data-part="error"]')).to_be_hidden()
    await chat.ask("Of mills", "short")
    await chat.ends("complete")
