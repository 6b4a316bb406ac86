"""One window of a browser, as far as these tests need it: the same for every engine."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from typing import Any

BOUND = 30.0  # seconds, for whatever has to happen soon: a loaded machine is slow
LOOK = 0.05  # seconds between two looks


class BrowserError(Exception):
    """The browser refused a command, or a script in the page raised."""


class Window(ABC):
    """A window, or a tab. Every method is bounded, and raises `BrowserError` if the browser refuses."""

    @abstractmethod
    async def open(self, url: str) -> None:
        """Load a page; return once it has loaded."""

    @abstractmethod
    async def reload(self) -> None:
        """Load the page again; return once it has loaded."""

    @abstractmethod
    async def back(self) -> None:
        """Go back in the history."""

    @abstractmethod
    async def run(self, script: str) -> Any:
        """Return what an expression of JavaScript comes to: a text, or a promise of one."""

    @abstractmethod
    async def press(self, *keys: str) -> None:
        """Press keys together: characters, or names such as `Enter`."""

    @abstractmethod
    async def write(self, text: str) -> None:
        """Type a text, key by key."""

    @abstractmethod
    async def point_at(self, x: float, y: float) -> None:
        """Move the mouse to a place of the viewport, in CSS pixels."""

    @abstractmethod
    async def click_at(self, x: float, y: float) -> None:
        """Click at a place of the viewport, in CSS pixels."""

    @abstractmethod
    async def tab(self) -> Window:
        """Open another tab of the same profile. It is in front from then on."""

    @abstractmethod
    async def screenshot(self) -> bytes:
        """Return the viewport as PNG."""

    @abstractmethod
    async def close(self) -> None:
        """Close the window. Idempotent."""

    async def ask(self, function: str, *arguments: Any) -> Any:
        """Return what a function of JavaScript returns for these arguments, all of it as JSON."""
        given = ", ".join(json.dumps(argument) for argument in arguments)
        call = f"Promise.resolve(({function})({given}))"
        return json.loads(await self.run(f"{call}.then((value) => JSON.stringify(value ?? null))"))

    async def until(self, function: str, *arguments: Any) -> Any:
        """Return what a function returns once that is true. Raises `AssertionError` after `BOUND` seconds.

        A page may be left while it is asked; the next one is asked then.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + BOUND
        found: Any = None
        while loop.time() < end:
            try:
                if found := await self.ask(function, *arguments):
                    return found
            except BrowserError as error:
                found = error
            await asyncio.sleep(LOOK)
        shown = await self.ask("() => document.body.innerText")
        raise AssertionError(f"{function} {arguments!r} came to {found!r}.\nThe page says:\n{shown}")

    async def hover(self, selector: str) -> None:
        """Move the mouse to the first element that is shown, once nothing covers it."""
        x, y = await self.until(TARGET, selector)
        await self.point_at(x, y)

    async def click(self, selector: str) -> None:
        """Click on the middle of the first element that is shown, once nothing covers it."""
        x, y = await self.until(TARGET, selector)
        await self.click_at(x, y)


TARGET = """(selector) => {
  const element = Array.from(document.querySelectorAll(selector)).find((each) => each.getClientRects().length > 0);
  if (!element || element.disabled) return null;
  element.scrollIntoView({ block: "nearest" });
  const { left, top, width, height } = element.getBoundingClientRect();
  const [x, y] = [left + width / 2, top + height / 2];
  const hit = document.elementFromPoint(x, y);
  return hit && (element.contains(hit) || hit.contains(element)) ? [x, y] : null;
}"""
