"""The operations page in a browser: it follows what happens, holds still when told to, and works without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.puppet import PuppetBackend
from tests.support.server import LiveServer, serve
from tests.support.waiting import until


@pytest_asyncio.fixture(loop_scope="session")
async def puppet() -> PuppetBackend:
    """The model of the server."""
    return PuppetBackend()


@pytest_asyncio.fixture(loop_scope="session")
async def led_server(tmp_path: Path, puppet: PuppetBackend) -> AsyncIterator[LiveServer]:
    """A server whose model does as it is told."""
    async with serve(tmp_path, extra=(puppet,), default_model="puppet/puppet") as live:
        yield live


@pytest_asyncio.fixture(loop_scope="session")
async def ops(context: BrowserContext, led_server: LiveServer) -> AsyncIterator[Page]:
    """The page. It is closed before its server."""
    page = await context.new_page()
    await page.goto(f"{led_server.url}/ops")
    yield page
    await page.close()


async def test_it_follows_an_answer(ops: Page, led_server: LiveServer, puppet: PuppetBackend) -> None:
    """It appears, its tokens grow, and it ends, without a reload and without losing the reader's place."""
    await expect(ops.get_by_role("status")).to_have_text("Updates every second")
    await expect(ops.get_by_text("Nothing is running.")).to_be_visible()
    await led_server.client.post("my-chat", "hello")
    running = ops.get_by_role("table", name="In progress").get_by_role("row").nth(1)
    await expect(running.get_by_role("link", name="my-chat")).to_be_visible()
    await running.get_by_role("link", name="my-chat").focus()
    await until(lambda: bool(puppet.generations))
    puppet.generations[0].say("one ", "two ", "three ")
    await expect(running.get_by_role("cell").nth(4)).to_have_text("3")
    await expect(running.get_by_role("link", name="my-chat")).to_be_focused()
    puppet.generations[0].finish()
    ended = ops.get_by_role("table", name="Ended last").get_by_role("row").nth(1)
    await expect(ended).to_contain_text("Complete")
    await expect(ops.get_by_text("Nothing is running.")).to_be_visible()


async def test_it_can_be_paused(ops: Page, led_server: LiveServer) -> None:
    """Paused it asks for nothing and changes nothing; resumed it catches up."""
    await expect(ops.get_by_role("status")).to_have_text("Updates every second")
    await ops.get_by_role("button", name="Pause").click()
    await expect(ops.get_by_role("status")).to_have_text("Paused")
    await led_server.client.ask("my-chat", "hello", model="scripted/echo")
    await expect(ops.get_by_text("No answer has ended yet.")).to_be_visible()
    await ops.get_by_role("button", name="Resume").click()
    await expect(ops.get_by_role("link", name="my-chat")).to_be_visible()
    await expect(ops.get_by_role("button", name="Pause")).to_be_focused()


@pytest.mark.parametrize("width", [390, 1280])
async def test_it_fits(ops: Page, led_server: LiveServer, width: int) -> None:
    """Nothing is wider than the window, on a phone either, however long the names are."""
    await led_server.client.ask("c" * 64, "hello", model="scripted/echo")
    await led_server.client.post("d" * 64, "hello")
    await ops.set_viewport_size({"width": width, "height": 800})
    await ops.reload()
    await expect(ops.get_by_role("link", name="d" * 64)).to_be_visible()
    await expect(ops.get_by_role("table", name="In progress").get_by_role("row")).to_have_count(2)
    assert await ops.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_it_works_without_scripts(browser: Browser, led_server: LiveServer) -> None:
    """The server renders it; it reloads itself, and there is a link for those who want to do that themselves."""
    await led_server.client.ask("my-chat", "hello", model="scripted/echo")
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{led_server.url}/ops")
    await expect(page.get_by_role("link", name="my-chat")).to_be_visible()
    await expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    await page.get_by_role("link", name="Don't reload automatically").click()
    await led_server.client.ask("other-chat", "hello", model="scripted/echo")
    await page.get_by_role("link", name="Reload", exact=True).click()
    await expect(page.get_by_role("link", name="other-chat")).to_be_visible()
    await context.close()
