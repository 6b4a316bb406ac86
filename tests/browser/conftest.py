"""Chromium, a browser context that collects everything that went wrong, and the page as a user meets it.

All tests of this folder share an event loop, because they share the connection to the browser, which belongs to one.
An asynchronous fixture has to say so: `@pytest_asyncio.fixture(loop_scope="session")`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from tests.browser.chat import Chat
from tests.browser.chromium import chromium_to_try, running_chromium
from tests.browser.complaints import Complaints
from tests.browser.modules import Modules, opened
from tests.browser.puppets import Led
from tests.support.puppet import PuppetBackend
from tests.support.server import LiveServer, serve

FOLDER = Path(__file__).parent
PATIENCE = 15_000  # ms, for whatever has to happen: a loaded machine is slow

expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put these tests into the loop of the session."""
    for item in items:
        if FOLDER in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Chromium, which runs for as long as the tests do."""
    with running_chromium(chromium_to_try(), tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A connection to Chromium. Its driver is a process of its own, which takes longer to start than most tests do."""
    async with async_playwright() as playwright:
        yield await playwright.chromium.connect_over_cdp(chromium)


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """As elsewhere, in the loop of these tests."""
    async with serve(tmp_path) as live:
        yield live


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser profile. The test fails at its end if the browser complained about anything."""
    complaints = Complaints()
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE)
    await complaints.watch(context)
    yield context
    await context.close()
    assert complaints == []


@pytest_asyncio.fixture(loop_scope="session")
async def chat(server: LiveServer, context: BrowserContext) -> Chat:
    """The page of a new session. It is closed before its server, so that it does not connect to one that closes."""
    page = Chat(await context.new_page(), server.url)
    await page.open("/")
    return page


@pytest_asyncio.fixture(loop_scope="session")
async def led(context: BrowserContext, tmp_path: Path) -> AsyncIterator[Led]:
    """The page of a new session whose model does as it is told."""
    backend = PuppetBackend()
    async with serve(tmp_path, extra=(backend,)) as server:
        page = Chat(await context.new_page(), server.url)
        await page.open("/")
        yield Led(page, backend)
        await page.page.close()  # before its server


@pytest.fixture(scope="module")
def modules() -> Iterator[Modules]:
    """The page's modules by themselves."""
    with opened() as modules:
        yield modules
