"""Windows of Chromium, by Playwright as in the other tests of the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Error, Page, ViewportSize

from tests.browser.complaints import Complaints
from tests.browser.engines.window import BOUND, BrowserError, Window

SIZE = ViewportSize(width=1280, height=800)


class ChromiumWindow(Window):
    """See `Window`."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.set_default_timeout(BOUND * 1000)

    async def open(self, url: str) -> None:
        """See `Window`."""
        await self._page.goto(url)

    async def reload(self) -> None:
        """See `Window`."""
        await self._page.reload()

    async def back(self) -> None:
        """See `Window`."""
        await self._page.go_back()

    async def run(self, script: str) -> Any:
        """See `Window`."""
        try:
            return await self._page.evaluate(script)
        except Error as error:
            raise BrowserError(str(error)) from error

    async def press(self, *keys: str) -> None:
        """See `Window`."""
        await self._page.keyboard.press("+".join(keys))

    async def write(self, text: str) -> None:
        """See `Window`."""
        await self._page.keyboard.type(text)

    async def point_at(self, x: float, y: float) -> None:
        """See `Window`."""
        await self._page.mouse.move(x, y)

    async def click_at(self, x: float, y: float) -> None:
        """See `Window`."""
        await self._page.mouse.click(x, y)

    async def tab(self) -> Window:
        """See `Window`."""
        page = await self._page.context.new_page()
        await page.bring_to_front()
        return ChromiumWindow(page)

    async def screenshot(self) -> bytes:
        """See `Window`."""
        return await self._page.screenshot()

    async def close(self) -> None:
        """See `Window`."""
        await self._page.close()


@asynccontextmanager
async def chromium_window(browser: Browser) -> AsyncIterator[Window]:
    """A window with a profile of its own; what the browser complained about meanwhile fails the block."""
    complaints = Complaints()
    context = await browser.new_context(viewport=SIZE)
    await complaints.watch(context)
    try:
        yield ChromiumWindow(await context.new_page())
    finally:
        await context.close()
    assert complaints == []
