"""The page's event stream: cut, refused, silent, out of date."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import BrowserContext, Request, Route, expect

from tests.browser.chat import Chat
from tests.browser.wire import Wire, wire_to
from tests.support.server import LiveServer

EVENTS = "**/api/sessions/*/events*"
WORDS = " ".join(f"word{number}" for number in range(200))  # four seconds of an answer


@pytest.fixture
async def wire(server: LiveServer) -> AsyncIterator[Wire]:
    """The wire that `distant` hangs on."""
    async with wire_to(server.url) as wire:
        yield wire


@pytest.fixture
async def distant(context: BrowserContext, wire: Wire) -> Chat:
    """The page of a new session, over a wire that can be cut."""
    page = Chat(await context.new_page(), wire.url)
    await page.open("/")
    return page


async def test_a_cut_connection_is_resumed_without_gap_or_repetition(distant: Chat, wire: Wire) -> None:
    """An answer during which the connection broke has all of its text in the end, once."""
    await distant.ask(WORDS, "echo")
    await distant.streams()
    wire.cut()
    wire.mend()
    await distant.ends("complete")
    assert await distant.words() == WORDS


async def test_a_long_loss_is_told_and_leaves_the_text_alone(distant: Chat, wire: Wire) -> None:
    """Without a connection the page says so and keeps its text; it goes on by itself."""
    await distant.ask(WORDS, "echo")
    await distant.streams()
    wire.cut()
    await expect(distant.page.get_by_text("Reconnecting…")).to_be_visible()
    assert WORDS.startswith(await distant.words())
    wire.mend()
    await expect(distant.page.get_by_text("Reconnecting…")).to_be_hidden(timeout=15_000)
    await distant.ends("complete")
    assert await distant.words() == WORDS


async def test_a_refused_event_stream_is_opened_anew_with_a_cursor(chat: Chat) -> None:
    """After a proxy's 502, which ends an EventSource for good, the page makes a new one with `?after=`."""
    asked: list[str] = []

    async def refuse_twice(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) <= 2:
            await route.fulfill(status=502, body="Bad Gateway")
        else:
            await route.continue_()

    await chat.page.route(EVENTS, refuse_twice)
    await chat.ask(WORDS, "echo")
    await chat.ends("complete")
    assert await chat.words() == WORDS
    assert len(asked) == 3
    assert all(re.search(r"[?]after=\d+-\d+$", url) for url in asked)


async def test_a_cursor_that_cannot_be_served_leads_to_the_snapshot(chat: Chat) -> None:
    """After a `reset` the page loads the session and goes on from there."""
    await chat.ask("hello there", "echo")
    await chat.ends("complete")
    async with chat.page.expect_request(re.compile(r"/api/sessions/[^/]+$")) as loading:
        await remount(chat, cursor="1-999999")
    assert (await (await loading.value).response()) is not None
    await chat.ask("hello again", "echo")
    await chat.ends("complete", 1)
    await expect(chat.prompts).to_have_text(["hello there", "hello again"])
    assert [await chat.words(0), await chat.words(1)] == ["hello there", "hello again"]


async def test_a_session_that_the_server_lost_leaves_no_spinner(distant: Chat, wire: Wire) -> None:
    """If the server does not know the session any more, what ran is marked interrupted, and the page says so."""
    await distant.ask("do you remember me", "hang-middle")
    await distant.streams()
    await distant.page.route(
        re.compile(r"/api/sessions/[^/]+(/events.*)?$"), lambda route: route.fulfill(status=404)
    )
    wire.cut()
    await distant.ends("interrupted")
    await expect(distant.answer().locator("[data-part=label]")).to_have_text("Interrupted")
    await expect(distant.page.get_by_role("alert")).to_contain_text("no longer has this session")
    await expect(distant.stop).to_be_hidden()


async def test_a_page_from_the_back_forward_cache_catches_up(chat: Chat) -> None:
    """A page that was left and comes back shows what happened meanwhile."""
    await chat.ask(WORDS, "echo")
    await chat.streams()
    await leave(chat)
    assert await chat.answer().get_attribute("data-status") == "streaming"
    await come_back(chat)
    await chat.ends("complete")
    assert await chat.words() == WORDS


async def test_a_page_without_a_session_asks_for_no_events(chat: Chat) -> None:
    """A session that has no prompt yet does not exist on the server, so the page connects with its first prompt."""
    asked: list[Request] = []
    chat.page.on("request", lambda request: asked.append(request) if "/api/" in request.url else None)
    await chat.page.reload()
    await expect(chat.box).to_be_focused()
    assert asked == []
    async with asyncio.timeout(15):
        async with chat.page.expect_request(EVENTS):
            await chat.ask("hello", "short")
    await chat.ends("complete")


async def remount(chat: Chat, *, cursor: str) -> None:
    """Take the session off the page and put it back, as a page that was rendered with that cursor."""
    await chat.page.evaluate(
        """cursor => {
            const session = document.querySelector("tailrace-session");
            const { parentNode } = session;
            session.remove();
            session.dataset.cursor = cursor;
            parentNode.append(session);
        }""",
        cursor,
    )


async def leave(chat: Chat) -> None:
    """Do to the page what leaving it does; headless Chromium keeps no back/forward cache of its own."""
    await chat.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")


async def come_back(chat: Chat) -> None:
    """Do to the page what coming back to it does."""
    await chat.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
