"""A window in each engine, and a visitor before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest
import pytest_asyncio

from tests.browser.engines.chromium import chromium_window
from tests.browser.engines.display import display
from tests.browser.engines.firefox import firefox_window, running_firefox
from tests.browser.engines.visitor import Visitor
from tests.browser.engines.webkit import running_webkit_driver, webkit_window
from tests.browser.engines.window import Window
from tests.browser.wire import Wire, wire_to
from tests.machine import need
from tests.support.puppet import PuppetBackend, PuppetGeneration
from tests.support.server import LiveServer, serve
from tests.support.waiting import until

Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[Window]]


@pytest.fixture(scope="session")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the machine's Firefox speaks BiDi. It runs for as long as the tests do."""
    with running_firefox(need("firefox"), tmp_path_factory.mktemp("firefox")) as url:
        yield url


@pytest.fixture(scope="session")
def webkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of WebKit's driver. It and the display of its browsers live for as long as the tests do."""
    driver, screen = need("webkit"), need("xvfb")
    with (
        display(screen) as name,
        running_webkit_driver(driver, name, tmp_path_factory.mktemp("webkit")) as address,
    ):
        yield address


@pytest.fixture(params=["chromium", "firefox", "webkit"])
def opener(request: pytest.FixtureRequest) -> Opener:
    """What opens a window of one engine, with a fresh profile."""
    if request.param == "chromium":
        return partial(chromium_window, request.getfixturevalue("browser"))
    address = request.getfixturevalue(request.param)
    if request.param == "firefox":
        return partial(firefox_window, address)
    return partial(webkit_window, address, need("webkit-browser"))


@pytest_asyncio.fixture(loop_scope="session")
async def window(opener: Opener) -> AsyncIterator[Window]:
    """A window of one engine."""
    async with opener() as window:
        yield window


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(window: Window, server: LiveServer) -> Visitor:
    """Somebody before the page of a new chat."""
    visitor = Visitor(window, server.url)
    await visitor.open()
    return visitor


class Led(NamedTuple):
    """A visitor over a wire that can be cut, whose model says what the test tells it to."""

    visitor: Visitor
    backend: PuppetBackend
    wire: Wire

    async def ask(self, prompt: str) -> PuppetGeneration:
        """Send a prompt; return its generation, which has begun and said nothing yet."""
        place = len(self.backend.generations)
        await self.visitor.send(prompt, "puppet/puppet")
        await until(lambda: len(self.backend.generations) > place)
        generation = self.backend.generations[place]
        await generation.opened.wait()
        return generation


@pytest_asyncio.fixture(loop_scope="session")
async def led(window: Window, tmp_path: Path) -> AsyncIterator[Led]:
    """Somebody before the page of a new chat, with a model that does as it is told."""
    backend = PuppetBackend()
    async with serve(tmp_path, extra=(backend,)) as server, wire_to(server.url) as wire:
        visitor = Visitor(window, wire.url)
        await visitor.open()
        yield Led(visitor, backend, wire)
