"""An open page hears which models there are now: when somebody looks at the menu, and when somebody comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Locator, expect

from app.backends import catalog
from app.chat.errors import UpstreamUnreachable
from app.chat.ports import Model
from tests.browser.chat import Chat
from tests.browser.test_writing import hide
from tests.support.puppet import PuppetBackend
from tests.support.server import LiveServer, serve


class Shelf(PuppetBackend):
    """A backend whose models come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] | None = ["one", "two"]

    async def models(self) -> list[Model]:
        """See `Backend`."""
        if self.names is None:
            raise UpstreamUnreachable("The puppet isn't responding. Is it running?")
        return [Model(name, self.name) for name in self.names]


@pytest.fixture
def shelf() -> Shelf:
    """Two models, as yet."""
    return Shelf()


@pytest_asyncio.fixture(loop_scope="session")
async def shop(tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LiveServer]:
    """A server that has no other models, and asks for them again at once."""
    monkeypatch.setattr(catalog, "FRESH_FOR", 0.0)
    async with serve(tmp_path, scripted=False, extra=(shelf,)) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(context: BrowserContext, shop: LiveServer) -> Chat:
    """The page of a new session there."""
    chat = Chat(await context.new_page(), shop.url)
    await chat.open("/")
    await expect(menu(chat)).to_have_value("puppet/one")
    return chat


def menu(chat: Chat) -> Locator:
    """Return the menu of models."""
    return chat.page.get_by_label("Model", exact=True)


def offered(chat: Chat) -> Locator:
    """Return what it offers."""
    return menu(chat).locator("option:not([disabled])")


async def test_a_new_model_is_there_when_the_menu_is_opened(open_page: Chat, shelf: Shelf) -> None:
    """And what was chosen stays chosen."""
    await menu(open_page).select_option("puppet/two")
    await open_page.box.focus()
    shelf.names = ["zero", "one", "two"]
    await open_page.page.clock.install()
    await open_page.page.clock.fast_forward(6_000)
    await menu(open_page).focus()
    await open_page.page.clock.fast_forward(3_000)
    await expect(offered(open_page)).to_have_text(["zero", "one", "two"])
    await expect(menu(open_page)).to_have_value("puppet/two")


async def test_a_new_model_is_there_when_somebody_comes_back(open_page: Chat, shelf: Shelf) -> None:
    """The tab was hidden meanwhile."""
    await open_page.page.clock.install()
    await open_page.page.evaluate(hide(True))
    shelf.names = ["one", "two", "three"]
    await open_page.page.evaluate(hide(False))
    await expect(offered(open_page)).to_have_text(["one", "two"])
    await open_page.page.clock.fast_forward(3_000)
    await expect(offered(open_page)).to_have_text(["one", "two", "three"])


async def test_a_choice_outlives_its_server(open_page: Chat, shelf: Shelf) -> None:
    """The menu says why it cannot be used, and it is chosen still when the server is back."""
    await menu(open_page).select_option("puppet/two")
    await open_page.page.clock.install()
    shelf.names = None
    await open_page.page.evaluate(hide(False))
    await open_page.page.clock.fast_forward(3_000)
    await expect(open_page.page.locator("[data-part=reason]")).to_contain_text("isn't responding")
    await expect(menu(open_page)).to_have_value("puppet/two")
    await open_page.box.fill("still here")
    shelf.names = ["one", "two"]
    await open_page.page.clock.fast_forward(60_000)
    await expect(offered(open_page)).to_have_text(["one", "two"])
    await expect(menu(open_page)).to_have_value("puppet/two")
    await expect(open_page.page.get_by_text("No models available")).to_be_hidden()
    await expect(open_page.box).to_have_value("still here")


async def test_looking_often_asks_seldom(open_page: Chat) -> None:
    """Twice each time, and not more often than each five seconds."""
    asked: list[str] = []
    open_page.page.on(
        "request", lambda request: asked.append(request.url) if "/api/models" in request.url else None
    )
    await open_page.page.clock.install()
    for _ in range(5):
        await open_page.box.focus()
        await menu(open_page).focus()
    async with open_page.page.expect_response("**/api/models?*"):
        await open_page.page.clock.fast_forward(3_000)
    assert len(asked) == 2
