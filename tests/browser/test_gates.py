"""The gates of the page that are counts, so that they hold on a busy machine too; `make page-bench` has the others."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Route, expect

from tests.benchmarks.page import axe, lighthouse, reload, tabs, weight
from tests.benchmarks.page.packages import lack
from tests.benchmarks.page.stage import Stage
from tests.benchmarks.page.states import STATES
from tests.browser.chat import Chat
from tests.browser.complaints import Complaints
from tests.support.server import LiveServer, serve


@pytest_asyncio.fixture(loop_scope="session")
async def stage(browser: Browser, server: LiveServer, tmp_path: Path) -> AsyncIterator[Stage]:
    """A server and a browser. The test fails at its end if the browser complained about anything."""
    async with serve(tmp_path / "locked", access_token="a token of this test") as locked:
        stage = Stage(browser, server.url, locked.url, server.client)
        yield stage
    assert stage.complaints == []


@pytest.fixture
def judges() -> None:
    """The packages that judge the page; without them the test is skipped, in CI it fails."""
    if reason := lack():
        message = f"{reason}, so the accessibility of the page is not judged"
        pytest.fail(message, pytrace=False) if os.environ.get("CI") == "true" else pytest.skip(message)


def test_the_page_is_light() -> None:
    """All JavaScript and all CSS that there are, gzipped, stay under their limits."""
    assert [gate for gate in weight.sizes() if not gate.holds] == []


async def test_little_is_asked_for_before_the_first_paint(stage: Stage) -> None:
    """A first visit to a session needs no more than a dozen requests to show it."""
    await stage.answer("weight", "markdown")
    early = await weight.early_requests(stage, "/sessions/weight")
    assert len(early) <= weight.REQUESTS, early


@pytest.mark.usefixtures("judges")
async def test_no_rule_of_accessibility_fails(stage: Stage) -> None:
    """The judge finds nothing on any page, whatever an answer is doing there."""
    assert await axe.judge(stage, STATES, axe.TWO_LOOKS) == []


@pytest.mark.usefixtures("judges")
async def test_no_rule_fails_in_what_opens(stage: Stage) -> None:
    """Neither do menus, panels and folded details break a rule, once they are open."""
    assert await axe.judge_opened(stage, axe.TWO_LOOKS) == []


async def test_a_reload_in_the_middle_changes_nothing(stage: Stage) -> None:
    """Three reloads while an answer comes: its text and its markup are those of a page that saw all of it."""
    assert await reload.differences(stage) == []


async def test_eight_tabs_are_all_alive(stage: Stage) -> None:
    """Over HTTP/1.1 a browser has six connections to a server; the answers in eight tabs go on all the same."""
    assert (await tabs.open_tabs(stage)).alive == tabs.TABS


@pytest.mark.usefixtures("judges")
async def test_lighthouse_finds_no_fault(stage: Stage, chromium: str) -> None:
    """Accessibility and best practices score 100; performance is a matter of time."""
    await stage.answer("lighthouse", "markdown")
    categories = ("accessibility", "best-practices")
    report = await lighthouse.run(f"{stage.url}/sessions/lighthouse", chromium, categories)
    assert report.faults == []
    assert report.scores == dict.fromkeys(categories, 100)


async def test_blocks_come_in_without_the_browsers_sanitizer(
    context: BrowserContext, server: LiveServer
) -> None:
    """Where there is no `setHTML` the page's own policy lets the server's HTML in, the same as after a reload."""
    await context.add_init_script("delete Element.prototype.setHTML")
    chat = Chat(await context.new_page(), server.url)
    await chat.open("/")
    assert not await chat.page.evaluate("'setHTML' in Element.prototype")
    await chat.ask("show me", "markdown")
    await chat.ends("complete")
    await expect(chat.text().locator(".block > table")).to_be_visible()
    live = await chat.text().inner_html()
    await chat.page.reload()
    await chat.alive()
    assert await chat.text().locator(".block").all_inner_texts()
    assert await chat.text().inner_html() == live


async def test_html_without_the_policy_is_refused(browser: Browser, server: LiveServer) -> None:
    """Whatever writes a string into the page throws; no other policy can be made."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(server.url)
    for attempt in ("document.body.innerHTML = '<b>x</b>'", "trustedTypes.createPolicy('other', {})"):
        thrown = f"() => {{ try {{ {attempt}; return ''; }} catch (error) {{ return error.name; }} }}"
        assert await page.evaluate(thrown) == "TypeError"
    await expect(page.locator("tailrace-session")).to_have_count(1)
    await context.close()


async def test_a_script_inside_the_page_does_not_run(browser: Browser, server: LiveServer) -> None:
    """Should one ever get into its HTML: the browser refuses it, and says so."""
    context = await browser.new_context()
    complaints = Complaints()
    await complaints.watch(context)
    page = await context.new_page()

    async def smuggle(route: Route) -> None:
        answer = await route.fetch()
        html = (await answer.text()).replace("</head>", "<script>window.hasRun = true</script></head>")
        await route.fulfill(response=answer, body=html)

    await page.route(f"{server.url}/", smuggle)
    async with page.expect_console_message(lambda message: message.text.startswith("CSP: script-src")):
        await page.goto(server.url)
    assert await page.evaluate("document.head.innerHTML.includes('hasRun')")
    assert not await page.evaluate("window.hasRun")
    assert complaints.violations
    await context.close()
