"""Requests that are held between page and server, so that a test can look at what the page does meanwhile."""

from __future__ import annotations

import asyncio

from playwright.async_api import Route

from tests.browser.chat import Chat

POSTS = "**/api/sessions/*/streams"
BRANCHES = "**/sessions/*/snapshot?*branch=*"
STOPS = "**/api/streams/*"


class Held:
    """Requests that wait until they are released."""

    def __init__(self) -> None:
        self._released = asyncio.Event()
        self.answered = asyncio.Event()

    def release(self) -> None:
        """Let them go, those held and those to come."""
        self._released.set()

    async def keep(self, route: Route) -> None:
        """Hold one."""
        await self._released.wait()
        await route.continue_()

    async def keep_answer(self, route: Route) -> None:
        """Hold what the server says to one."""
        response = await route.fetch()
        self.answered.set()
        await self._released.wait()
        await route.fulfill(response=response)


async def hold(chat: Chat, pattern: str) -> Held:
    """Hold the page's requests to these addresses before they reach the server."""
    held = Held()
    await chat.page.route(pattern, held.keep)
    return held


async def hold_answers(chat: Chat, pattern: str) -> Held:
    """Hold what the server answers to the page's requests to these addresses: what happens next is not in it."""
    held = Held()
    await chat.page.route(pattern, held.keep_answer)
    return held
