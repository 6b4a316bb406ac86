"""Where the page is measured: a server with the scripted models, a browser, and an ear for complaints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, ViewportSize

from tests.browser.chat import Chat
from tests.browser.complaints import Complaints
from tests.support.client import Client

DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
LENGTH = "(document.querySelector('article:last-of-type [data-part=content]')?.textContent.length ?? 0)"
ESSAY = "essay"  # the scripted model of rich Markdown, 200 tokens a second


@dataclass
class Stage:
    """A running server and a running browser."""

    browser: Browser
    url: str
    locked_url: str  # of another server, which asks for its token
    client: Client
    complaints: Complaints = field(default_factory=Complaints)

    @asynccontextmanager
    async def context(self, **options: Any) -> AsyncIterator[BrowserContext]:
        """Open a browser profile of its own, listened to."""
        context = await self.browser.new_context(**{"viewport": DESKTOP, **options})
        context.set_default_timeout(20_000)
        await self.complaints.watch(context)
        try:
            yield context
        finally:
            await context.close()

    async def open(self, context: BrowserContext, path: str) -> Chat:
        """Open a page of the server."""
        chat = Chat(await context.new_page(), self.url)
        await chat.open(path)
        return chat

    async def ask(self, session_id: str, model: str, prompt: str = "Tell me about mills", **body: Any) -> str:
        """Have a scripted model begin an answer; return the id of its stream."""
        posted = await self.client.post(session_id, prompt, model=f"scripted/{model}", **body)
        return str(posted["stream_id"])

    async def answer(
        self, session_id: str, model: str, prompt: str = "Tell me about mills", **body: Any
    ) -> None:
        """Have a scripted model answer, and wait for its end."""
        await self.client.read_stream(await self.ask(session_id, model, prompt, **body))


async def seen(page: Page, expression: str, *, within: float = 20.0, every: float = 0.05) -> Any:
    """Return the first value of a JavaScript expression that is true. Raises `TimeoutError` after `within` seconds.

    Playwright's own waiting evaluates strings in the page, which the content security policy turns down.
    """
    async with asyncio.timeout(within):
        while not (value := await page.evaluate(expression)):
            await asyncio.sleep(every)
    return value


async def grows(chat: Chat, characters: int = 300) -> bool:
    """Wait until the page shows so many more characters of an answer; true if they come in time."""
    before = await chat.page.evaluate(LENGTH)
    try:
        return bool(await seen(chat.page, f"{LENGTH} >= {before + characters}"))
    except TimeoutError:
        return False
