"""Makes the pictures of the README from the running product: `python -m tests.browser.screenshots FOLDER`."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, async_playwright, expect

from tests.browser.chat import Chat
from tests.browser.chromium import ARGUMENTS
from tests.machine import need
from tests.support.server import LiveServer, serve

SESSION = "pictures"
QUESTION = "What does a water mill do? Answer in two sentences."
NEXT = "Tell me about rivers in five paragraphs."
# name: width, height, colour scheme
PICTURES = {"page": (1280, 800, "light"), "dark": (1280, 800, "dark"), "phone": (390, 844, "light")}


async def main(folder: Path) -> None:
    """Ask the embedded model, and take each picture while another answer is being written."""
    expect.set_options(timeout=60_000)
    with tempfile.TemporaryDirectory() as data:
        async with (
            serve(Path(data), embedded=True, scripted=False, viewer_grace=None) as server,
            async_playwright() as playwright,
        ):
            chromium = await playwright.chromium.launch(executable_path=need("chromium"), args=ARGUMENTS)
            for name in PICTURES:
                await server.client.ask(SESSION, QUESTION, options={"seed": 7, "temperature": 0.2})
                await take(chromium, server, name, folder / f"{name}.png")
            await chromium.close()


async def take(browser: Browser, server: LiveServer, name: str, path: Path) -> None:
    """Take one picture of the session with an answer that is being written."""
    width, height, scheme = PICTURES[name]
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
    )
    chat = Chat(await context.new_page(), server.url)
    options = {"seed": 7, "temperature": 0.2}
    posted = await server.client.post(SESSION, NEXT, options=options)
    await chat.open(f"/sessions/{SESSION}")
    await chat.streams()
    await expect(chat.text()).to_have_text(re.compile(r"[\s\S]{350}"))
    await chat.page.screenshot(path=path)
    await context.close()
    await server.client.stop(posted["stream_id"])
    await server.client.delete(f"/api/sessions/{SESSION}")


if __name__ == "__main__":
    pictures = Path(sys.argv[1])
    pictures.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(pictures))
