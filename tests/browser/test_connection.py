"""The page's event stream: cut, refused, silent, out of date."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Route, expect

from tests.browser.chat import Chat
from tests.browser.conftest import PATIENCE
from tests.browser.puppets import Led
from tests.browser.test_writing import hide
from tests.browser.wire import Wire, wire_to
from tests.support.server import LiveServer, serve
from tests.support.tokens import add, bearer, known
from tests.support.waiting import until

SNAPSHOTS = "**/sessions/*/snapshot*"
WORDS = " ".join(f"word{number}" for number in range(200))  # four seconds of an answer


@pytest_asyncio.fixture(loop_scope="session")
async def wire(server: LiveServer) -> AsyncIterator[Wire]:
    """The wire that `distant` hangs on."""
    async with wire_to(server.url) as wire:
        yield wire


@pytest_asyncio.fixture(loop_scope="session")
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
    before = await distant.words()
    await expect(distant.page.get_by_text("Reconnecting…")).to_be_visible()
    after = await distant.words()
    assert len(before) > 0
    assert after.startswith(before)
    assert WORDS.startswith(after)
    wire.mend()
    await expect(distant.page.get_by_text("Reconnecting…")).to_be_hidden()
    await distant.ends("complete")
    assert await distant.words() == WORDS


# Six requests at once, so that the browser keeps as many connections.
FILL_THE_POOL = """() => Promise.all(
    Array.from({ length: 6 }, (_, number) => fetch(`/healthz?${number}`).then((response) => response.text())),
).then(() => null)"""


@pytest.mark.parametrize(
    ("all_open", "bound"),
    [
        pytest.param(False, 22_000, id="stream"),
        pytest.param(True, 62_000, id="pool"),
    ],  # ms, of the page's gates
)
async def test_a_connection_that_dies_in_silence_is_noticed(
    distant: Chat, wire: Wire, server: LiveServer, all_open: bool, bound: int
) -> None:
    """Nothing is closed, nothing comes any more: of the event stream alone, or of all connections of the pool."""
    await distant.ask("hello there", "echo")
    await distant.ends("complete")
    session_id = distant.page.url.rpartition("/")[2]
    await until(lambda: server.registry.statistics().viewers == 1)
    await distant.page.evaluate(FILL_THE_POOL)
    wire.mute(all_open=all_open)
    await server.client.ask(session_id, "from elsewhere", model="scripted/echo")
    await expect(distant.answers).to_have_count(2, timeout=bound)
    assert await distant.words() == "from elsewhere"
    await expect(distant.page.get_by_text("Reconnecting…")).to_be_hidden()


async def test_a_network_that_dies_in_silence_is_told(distant: Chat, wire: Wire, server: LiveServer) -> None:
    """New connections get no answer either: the page says so, and goes on by itself when they do."""
    await distant.ask("hello there", "echo")
    await distant.ends("complete")
    session_id = distant.page.url.rpartition("/")[2]
    await until(lambda: server.registry.statistics().viewers == 1)
    wire.mute(all_open=True, new_ones=True)
    await expect(distant.page.get_by_text("Reconnecting…")).to_be_visible(timeout=24_000)
    await server.client.ask(session_id, "from elsewhere", model="scripted/echo")
    wire.mend()
    await expect(distant.answers).to_have_count(2, timeout=30_000)
    await expect(distant.page.get_by_text("Reconnecting…")).to_be_hidden()


async def test_a_refused_event_stream_is_opened_anew_with_a_cursor(distant: Chat, wire: Wire) -> None:
    """After a proxy's 502, which ends an EventSource for good, there is a new one that goes on from the cursor."""
    await distant.ask(WORDS, "echo")
    await distant.streams()
    before = len(wire.asked)
    wire.refusals = 2
    wire.cut()
    wire.mend()
    await distant.ends("complete")
    assert await distant.words() == WORDS
    assert wire.refusals == 0
    assert len(wire.asked) > before + 1
    assert all(re.search(r"[?]watch=[^:]+:\d+-\d+$", asked) for asked in wire.asked[before:])


async def test_too_many_event_streams_are_told(browser: Browser, tmp_path: Path) -> None:
    """The page says what the server says, in place of its own notice, and goes on when one is closed."""
    async with serve(tmp_path, auth="tokens", owner_event_streams=1) as server:
        token = await add(tmp_path, "alice")
        await known(server.client, bearer(token))
        context = await browser.new_context()
        context.set_default_timeout(PATIENCE)
        page = await context.new_page()
        async with server.client.http.get("/events?watch=other:new", headers=bearer(token)) as taken:
            assert taken.status == 200
            await page.goto(server.url + "/")
            await page.get_by_label("Access token").fill(token)
            await page.get_by_role("button", name="Sign in").click()
            await expect(page.get_by_text("You have too many event streams open")).to_be_visible()
            await expect(page.get_by_text("Reconnecting…")).to_have_count(0)
        await expect(page.get_by_text("You have too many event streams open")).to_be_hidden(timeout=40_000)
        await context.close()


@pytest.mark.parametrize(
    "signs",
    [
        pytest.param(["window.dispatchEvent(new Event('online'))"], id="online"),
        pytest.param([hide(True), hide(False)], id="seen"),
    ],
)
async def test_a_snapshot_that_failed_is_asked_for_again_at_once(
    distant: Chat, wire: Wire, signs: list[str]
) -> None:
    """A sign of life ends the waiting; until then the page says that something is missing."""
    is_broken = True

    async def fail(route: Route) -> None:
        await (route.fulfill(status=502) if is_broken else route.continue_())

    await distant.ask(WORDS, "echo")
    await distant.streams()
    await distant.page.route(SNAPSHOTS, fail)
    await distant.page.clock.install()
    wire.refusals = 1
    wire.cut()
    wire.mend()
    notice = distant.page.get_by_text("Reconnecting…")
    await expect(notice).to_be_visible()
    now = await distant.page.evaluate("Date.now()")
    await distant.page.clock.pause_at(now / 1000 + 1)  # s; from here on no timer of the page ends by itself
    is_broken = False
    async with asyncio.timeout(15):
        while await notice.is_visible():  # the first sign may come while the last failure is still under way
            for script in signs:
                await distant.page.evaluate(script)
    await distant.page.clock.resume()
    await distant.ends("complete")
    assert await distant.words() == WORDS


async def test_a_cursor_that_cannot_be_served_leads_to_the_snapshot(chat: Chat) -> None:
    """After a `reset` the page loads the session and goes on from there."""
    await chat.ask("hello there", "echo")
    await chat.ends("complete")
    async with chat.page.expect_request(re.compile(r"/sessions/[^/]+/snapshot(\?|$)")) as loading:
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
    await distant.page.route(SNAPSHOTS, lambda route: route.fulfill(status=404))
    wire.refusals = 1
    wire.cut()
    wire.mend()
    await distant.ends("interrupted")
    await expect(distant.answer().locator("[data-part=label]")).to_have_text("Interrupted")
    await expect(distant.page.get_by_role("alert")).to_contain_text("This chat is gone")
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


async def test_a_page_without_a_session_waits_for_it(distant: Chat, wire: Wire) -> None:
    """Through the same connection, on which the first prompt comes then: it is not opened anew."""
    await until(lambda: bool(wire.asked))
    await distant.ask("hello", "short")
    await distant.ends("complete")
    (asked,) = wire.asked
    assert asked.endswith(":new")


async def test_tabs_share_one_connection(distant: Chat, context: BrowserContext, wire: Wire) -> None:
    """Each of nine tabs shows its own answer, which HTTP/1.1 with its six connections would not allow otherwise."""
    tabs = [distant, *[Chat(await context.new_page(), wire.url) for _ in range(8)]]
    for number, tab in enumerate(tabs):
        await tab.open("/")
        await tab.ask(f"{number} begins", "hang-middle")
    for tab in tabs:
        await expect(tab.text()).to_have_text("It begins well, and then")
    assert wire.asked[-1].count("watch=") == len(tabs)
    for number, tab in enumerate(tabs):
        await tab.ask(f"{number} is told", "echo")
        await tab.ends("complete")
        await expect(tab.text()).to_have_text(f"{number} is told")


async def test_a_tab_that_leaves_is_watched_no_more(
    distant: Chat, context: BrowserContext, wire: Wire
) -> None:
    """The connection goes on without its session, so that the server knows that nobody looks."""
    await distant.ask("stay", "hang-middle")
    await distant.streams()
    other = Chat(await context.new_page(), wire.url)
    await other.open("/")
    await other.ask("leave", "hang-middle")
    await other.streams()
    assert wire.asked[-1].count("watch=") == 2
    await other.page.goto("about:blank")
    await until(lambda: wire.asked[-1].count("watch=") == 1)


async def test_without_a_shared_worker_each_tab_has_its_connection(
    context: BrowserContext, server: LiveServer
) -> None:
    """As in Chrome on Android; it is closed while the tab is hidden and nothing runs."""
    await context.add_init_script("delete window.SharedWorker")
    chat = Chat(await context.new_page(), server.url)
    asked: list[str] = []
    chat.page.on("request", lambda request: asked.append(request.url) if "/events?" in request.url else None)
    await chat.open("/")
    await chat.ask(WORDS, "echo")
    await chat.ends("complete")
    assert await chat.words() == WORDS
    before = len(asked)
    async with chat.page.expect_event("requestfailed", lambda request: "/events?" in request.url):
        await chat.page.evaluate(hide(True))
    await chat.page.evaluate(hide(False))
    await chat.ask("hello again", "echo")
    await chat.ends("complete", 1)
    assert len(asked) > before


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


async def test_a_dead_worker_is_noticed_as_soon_as_a_dead_connection(led: Led, browser: Browser) -> None:
    """Only the shared worker dies: another one is started, and the answer goes on."""
    generation = await led.ask("hello")
    generation.say("One")
    await expect(led.chat.text()).to_have_text("One")
    devtools = await browser.new_browser_cdp_session()
    targets = (await devtools.send("Target.getTargets", {"filter": [{"type": "shared_worker"}]}))[
        "targetInfos"
    ]
    (worker,) = [target for target in targets if target["url"].startswith(led.chat.url)]
    await devtools.send("Target.closeTarget", {"targetId": worker["targetId"]})
    generation.say(" two")
    # Within 13 s, as with a silent connection, and however slow the machine is sooner than the 45 s it took.
    await expect(led.chat.text()).to_have_text("One two", timeout=30_000)
