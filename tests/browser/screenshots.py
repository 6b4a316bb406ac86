"""Makes the pictures of the README from the running product: `python -m tests.browser.screenshots FOLDER`."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from playwright.async_api import Browser, ViewportSize, async_playwright, expect

from tests.browser.chat import Chat
from tests.browser.chromium import ARGUMENTS
from tests.browser.pictured import FAILED, NEXT, OTHERS, QUESTION, STOPPED, SYSTEM, PicturedBackend
from tests.machine import need
from tests.support.server import LiveServer, serve

MODEL = "demo/engineer"
DESKTOP: ViewportSize = {"width": 1280, "height": 880}
PHONE: ViewportSize = {"width": 390, "height": 844}
SHARPNESS = 2  # device pixels of a CSS pixel


async def rest(chat: Chat) -> None:
    """The first answer, whole."""
    await chat.ends("complete")


async def streaming(chat: Chat) -> None:
    """The next answer, while it is written."""
    await chat.ask(NEXT)
    await expect(chat.text()).to_have_text(re.compile(r"[\s\S]{500}"))


async def stopped(chat: Chat) -> None:
    """An answer that the reader stopped."""
    await chat.ask(STOPPED)
    await expect(chat.text()).to_have_text(re.compile("eight seconds"))
    await chat.stop.click()
    await chat.ends("stopped")


async def failed(chat: Chat) -> None:
    """An answer whose model failed in the middle."""
    await chat.ask(FAILED)
    await chat.ends("failed")


class Picture(NamedTuple):
    """One picture: what is shown, how wide, and in which light."""

    name: str
    show: Callable[[Chat], Awaitable[None]]
    viewport: ViewportSize = DESKTOP
    dark: bool = False


PICTURES = [
    Picture("page", rest),
    Picture("dark", streaming, dark=True),
    Picture("phone", streaming, viewport=PHONE),
    Picture("streaming", streaming),
    Picture("stopped", stopped),
    Picture("failed", failed),
]


async def main(folder: Path) -> None:
    """Prepare the sessions anew for each picture, and take it."""
    with tempfile.TemporaryDirectory() as data:
        async with (
            serve(Path(data), scripted=False, extra=(PicturedBackend(),), viewer_grace=None) as server,
            async_playwright() as playwright,
        ):
            chromium = await playwright.chromium.launch(executable_path=need("chromium"), args=ARGUMENTS)
            for number, title in enumerate(OTHERS):
                await server.client.ask(f"other-{number}", title, model=MODEL)
            for picture in PICTURES:
                await take(chromium, server, picture, folder / f"{picture.name}.png")
            await chromium.close()


async def take(browser: Browser, server: LiveServer, picture: Picture, path: Path) -> None:
    """Take one picture of the session with its rich answer."""
    session_id = f"picture-{picture.name}"  # the name of one that was deleted is not free at once
    options = {"system": SYSTEM, "temperature": 0.4}
    await server.client.ask(session_id, QUESTION, model=MODEL, options=options, remember=True)
    await server.client.http.patch(f"/api/sessions/{session_id}", json={"title": "Retry a flaky request"})
    context = await browser.new_context(
        viewport=picture.viewport,
        device_scale_factor=SHARPNESS,
        color_scheme="dark" if picture.dark else "light",
    )
    chat = Chat(await context.new_page(), server.url)
    await chat.open(f"/sessions/{session_id}")
    await picture.show(chat)
    await chat.page.screenshot(path=path, animations="disabled")
    await context.close()
    await server.client.delete(f"/api/sessions/{session_id}/stream")
    await server.client.delete(f"/api/sessions/{session_id}")


if __name__ == "__main__":
    pictures = Path(sys.argv[1])
    pictures.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(pictures))
