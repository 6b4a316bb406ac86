"""The page as a user meets it: what can be done, and what can be seen."""

from __future__ import annotations

import asyncio

from playwright.async_api import Locator, Page, expect

TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))"


class Chat:
    """One open page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.box = page.get_by_label("Message", exact=True)
        self.send = page.get_by_role("button", name="Send")
        self.stop = page.get_by_role("button", name="Stop", exact=True)
        self.jump = page.get_by_role("button", name="Jump to latest")
        self.status = page.locator("[data-part=status]")
        self.answers = page.locator("article[data-role=assistant]")
        self.prompts = page.locator("article[data-role=user] [data-part=content]")

    async def open(self, path: str) -> None:
        """Load a page of the server, and wait until its scripts are at work."""
        await self.page.goto(self.url + path)
        await self.alive()

    async def alive(self) -> None:
        """Wait until the scripts of the page are at work: they come after its first paint."""
        await self.page.evaluate("customElements.whenDefined('tailrace-session').then(() => null)")

    async def leave_end(self, pixels: int) -> None:
        """Turn the wheel until the end of the chat is left: Chromium drops a wheel before the first frame."""
        await self.page.get_by_role("log").hover()
        async with asyncio.timeout(15):
            while await self.jump.is_hidden():
                await self.page.mouse.wheel(0, -pixels)
                await self.page.evaluate(TWO_FRAMES)

    async def choose(self, model: str) -> None:
        """Take a scripted model."""
        await self.page.get_by_label("Model", exact=True).select_option(f"scripted/{model}")

    async def ask(self, prompt: str, model: str | None = None) -> None:
        """Type a prompt and press Enter."""
        if model is not None:
            await self.choose(model)
        await self.box.fill(prompt)
        await self.box.press("Enter")

    def answer(self, index: int = -1) -> Locator:
        """Return an answer, by default the last one."""
        return self.answers.nth(index)

    def text(self, index: int = -1) -> Locator:
        """Return the text of an answer."""
        return self.answer(index).locator("[data-part=content]")

    async def words(self, index: int = -1) -> str:
        """Return the exact text of an answer."""
        return await self.text(index).text_content() or ""

    async def ends(self, outcome: str, index: int = -1) -> None:
        """Wait until an answer has ended with that outcome."""
        await expect(self.answer(index)).to_have_attribute("data-outcome", outcome)

    async def streams(self, index: int = -1) -> None:
        """Wait until some of an answer is there, and more to come."""
        await expect(self.text(index)).not_to_be_empty()
        await expect(self.answer(index)).to_have_attribute("data-status", "streaming")
