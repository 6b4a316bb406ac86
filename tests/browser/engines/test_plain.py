"""The page where no script runs: forms, and HTML that grows with the answer. Only the tests look with scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from app.web.assets.static_files import StaticFiles
from tests.browser.engines.conftest import Opener
from tests.browser.engines.visitor import Visitor
from tests.browser.engines.webkit import webkit_window
from tests.browser.engines.window import Window
from tests.support.puppet import PuppetBackend, PuppetGeneration
from tests.support.server import serve
from tests.support.waiting import until

# The last article by its place in the list: for WebKit none is the last of its type before its parent has ended.
LOADED = "(path) => location.pathname.startsWith(path) && document.querySelector('#prompt') !== null"
CHOOSE = "(model) => { document.querySelector('#model').value = model; return true; }"
SHOWN = "(text) => Array.from(document.querySelectorAll('article .answer')).at(-1)?.innerText.includes(text)"
LABEL = (
    "(text) => Array.from(document.querySelectorAll('article [data-part=label]')).at(-1)?.innerText === text"
)
WORDS = "() => Array.from(document.querySelectorAll('article [data-part=content]')).at(-1).innerText.trim()"
NO_SCRIPT = "() => customElements.get('tailrace-session') === undefined"


NEW = "() => { const isNew = !window.isOld; return isNew && document.querySelector('#prompt') !== null; }"


class Plain:
    """Somebody before a page whose scripts do not load, and the model that answers."""

    def __init__(self, window: Window, url: str, backend: PuppetBackend) -> None:
        self.window = window
        self.visitor = Visitor(window, url)
        self._backend = backend

    async def ask(self, prompt: str) -> PuppetGeneration:
        """Fill in the form and send it; return the generation."""
        place = len(self._backend.generations)
        await self.window.until(CHOOSE, "puppet/puppet")
        await self.visitor.write("#prompt", prompt)
        await self.window.click("[data-part=send]")
        await until(lambda: len(self._backend.generations) > place)
        return self._backend.generations[place]


@pytest.fixture
def opener(opener: Any) -> Opener:
    """One whose commands do not wait for the end of an answer, which is the end of the page."""
    waiting: Opener = partial(opener, waits=False) if opener.func is webkit_window else opener
    return waiting


@pytest_asyncio.fixture(loop_scope="session")
async def plain(window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Plain]:
    """The page of a new chat."""
    get = StaticFiles.get

    async def without_scripts(self: StaticFiles, request: web.Request) -> web.StreamResponse:
        if request.path.endswith(".js"):
            return web.Response(
                status=404, content_type="text/javascript"
            )  # a browser says nothing about its type
        return await get(self, request)

    monkeypatch.setattr(StaticFiles, "get", without_scripts)
    backend = PuppetBackend()
    async with serve(tmp_path, extra=(backend,)) as server:
        await window.open(server.url + "/")
        await window.until(LOADED, "/")
        yield Plain(window, server.url, backend)


async def test_a_chat_needs_no_scripts(plain: Plain) -> None:
    """A prompt, an answer that grows, its end, and a reload that shows the same."""
    generation = await plain.ask("hello")
    generation.say("# One\n\nTwo")
    await plain.window.until(SHOWN, "Two")
    generation.say(" **three**\n\nfour")
    await plain.window.until(SHOWN, "four")
    assert await plain.window.ask(NO_SCRIPT)
    generation.finish()
    await plain.window.until(LOADED, "/sessions/")
    words = await plain.window.ask(WORDS)
    assert words.split() == ["One", "Two", "three", "four"]
    await plain.window.ask("() => { window.isOld = true; }")
    await plain.window.reload()
    await plain.window.until(NEW)
    assert await plain.window.ask(WORDS) == words


async def test_an_answer_is_stopped_without_scripts(plain: Plain) -> None:
    """By a form above it; what was there stays, labelled, and the next prompt follows."""
    generation = await plain.ask("hello")
    generation.say("One two")
    await plain.window.until(SHOWN, "two")
    await plain.window.click(".growing > form button")
    await plain.window.until(LABEL, "Stopped")
    assert await plain.window.ask(WORDS) == "One two"
    again = await plain.ask("again")
    again.say("Three")
    again.finish()
    await plain.window.until(SHOWN, "Three")
