"""Chromium for the examples that have pages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from tests.browser.chromium import chromium_to_try, running_chromium
from tests.browser.complaints import Complaints

PATIENCE = 15_000  # ms, for whatever has to happen: a loaded machine is slow

expect.set_options(timeout=PATIENCE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """A connection to the machine's Chromium, which ends with the module."""
    with running_chromium(chromium_to_try(), tmp_path_factory.mktemp("chromium")) as address:
        async with async_playwright() as playwright:
            yield await playwright.chromium.connect_over_cdp(address)


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser profile. The test fails at its end if the browser complained about anything."""
    complaints = Complaints()
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE)
    await complaints.watch(context)
    yield context
    await context.close()
    assert complaints == []
