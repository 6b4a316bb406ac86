"""What a visitor does in the page, and what there is to be seen, in any engine."""

from __future__ import annotations

from typing import Any

from tests.browser.engines.window import Window

ALIVE = "() => customElements.whenDefined('tailrace-session').then(() => true)"
CHOOSE = """(model) => {
  const menu = document.querySelector("#model");
  if (!Array.from(menu.options).some(({ value }) => value === model)) return false;
  menu.value = model;
  menu.dispatchEvent(new Event("change", { bubbles: true }));
  return true;
}"""
FOCUSED = "(selector) => document.activeElement?.matches(selector) ?? false"
ANSWERS = 'document.querySelectorAll("article[data-role=assistant]")'
CONTENT = f'(index) => {ANSWERS}[index]?.querySelector("[data-part=content]")'
# What the blocks of an answer are, without the state of the page around them.
BLOCKS = f'(index) => Array.from({ANSWERS}[index].querySelectorAll(".block"), (block) => block.innerHTML)'
PROMPTS = """(texts) => JSON.stringify(Array.from(document.querySelectorAll("[data-role=user] [data-part=content]"),
  ({ textContent }) => textContent)) === JSON.stringify(texts)"""


class Visitor:
    """Somebody before a window that shows the server at `url`."""

    def __init__(self, window: Window, url: str) -> None:
        self.window = window
        self.url = url

    async def open(self, path: str = "/") -> None:
        """Load a page of the server, and wait until its scripts are at work."""
        await self.window.open(self.url + path)
        await self.alive()

    async def alive(self) -> None:
        """Wait until the scripts of the page are at work."""
        await self.window.until(ALIVE)

    async def reload(self) -> None:
        """Load the page again, and wait until its scripts are at work."""
        await self.window.reload()
        await self.alive()

    async def tab(self) -> Visitor:
        """Open the same address in another tab."""
        address = await self.window.ask("() => location.href")
        other = Visitor(await self.window.tab(), self.url)
        await other.window.open(address)
        await other.alive()
        return other

    async def choose(self, model: str) -> None:
        """Take a model."""
        await self.window.until(CHOOSE, model)

    async def write(self, selector: str, text: str) -> None:
        """Click into a field and type."""
        await self.window.click(selector)
        await self.window.until(FOCUSED, selector)
        await self.window.write(text)

    async def send(self, prompt: str, model: str | None = None) -> None:
        """Type a prompt and press Enter."""
        if model is not None:
            await self.choose(model)
        await self.write("#prompt", prompt)
        await self.window.press("Enter")

    async def words(self, index: int = 0) -> str:
        """Return the exact text of an answer."""
        return str(await self.window.ask(f"(index) => ({CONTENT})(index)?.textContent ?? ''", index))

    async def says(self, text: str, index: int = 0) -> None:
        """Wait until the text of an answer has this in it."""
        await self.window.until(
            f"(index, text) => ({CONTENT})(index)?.textContent.includes(text)", index, text
        )

    async def blocks(self, index: int = 0) -> list[str]:
        """Return the HTML of an answer, block by block."""
        found: list[str] = await self.window.ask(BLOCKS, index)
        return found

    async def has_asked(self, *prompts: str) -> None:
        """Wait until these prompts are shown, and no others."""
        await self.window.until(PROMPTS, prompts)

    async def ends(self, outcome: str, index: int = 0) -> None:
        """Wait until an answer has ended with that outcome."""
        await self.window.until(
            f"(index, outcome) => {ANSWERS}[index]?.dataset.outcome === outcome", index, outcome
        )

    async def label(self, index: int = 0) -> str:
        """Return what stands below an answer about how it ended."""
        script = f'(index) => {ANSWERS}[index].querySelector("[data-part=label]").textContent'
        return str(await self.window.ask(script, index))

    async def part(self, name: str, index: int = 0) -> Any:
        """Return the text of a part of an answer."""
        script = f"(index, name) => {ANSWERS}[index].querySelector(`[data-part=${{name}}]`)?.textContent"
        return await self.window.ask(script, index, name)
