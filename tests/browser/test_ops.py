"""The operations page in a browser: it follows what happens, holds still when told to, and works without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from app.cluster.ports import Expired, Node
from tests.doubles.owners import OwnerTable
from tests.support.puppet import PuppetBackend
from tests.support.server import LiveServer, serve
from tests.support.waiting import until
from tests.web.nodes.stage import StagedNode, staged_node


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


@pytest_asyncio.fixture(loop_scope="session")
async def pair(tmp_path: Path) -> AsyncIterator[tuple[StagedNode, StagedNode]]:
    """Two nodes of a cluster, which know of a third that nobody reaches and of a fourth that died."""
    peers, table = [Node("c" * 16, "http://127.0.0.1:9")], OwnerTable()
    dead = [Expired(Node("d" * 16, "http://192.0.2.7:8000"), 1_790_000_000.0)]
    async with (
        staged_node(tmp_path / "a", "a" * 16, table, peers=peers, expired=dead) as a,
        staged_node(tmp_path / "b", "b" * 16, table, peers=peers, expired=dead) as b,
    ):
        yield a, b


async def test_it_follows_all_nodes(context: BrowserContext, pair: tuple[StagedNode, StagedNode]) -> None:
    """What begins at another node appears, with a link to the row of its node."""
    a, b = pair
    page = await context.new_page()
    await page.goto(f"{a.node.url}/ops")
    nodes = page.get_by_role("table", name="Nodes").get_by_role("row")
    await expect(nodes).to_have_count(5)
    states = [await nodes.nth(row).get_by_role("cell").nth(2).inner_text() for row in range(1, 5)]
    assert states[0] == "Ready"
    assert sorted(states) == ["Down", "Ready", "Ready", "Unreachable"]
    await b.client.post("there", "hello", model="scripted/long")
    running = page.get_by_role("table", name="In progress").get_by_role("row").nth(1)
    await expect(running).to_contain_text("there")
    await running.get_by_role("link", name=b.node.url.partition("://")[2]).click()
    await expect(page.locator("tr:target")).to_contain_text("b" * 16)
    await page.close()


@pytest.mark.parametrize("width", [390, 1280])
async def test_all_nodes_fit(browser: Browser, pair: tuple[StagedNode, StagedNode], width: int) -> None:
    """Without scripts, however long the names are."""
    a, b = pair
    await b.client.ask("c" * 64, "hello", model="scripted/echo")
    await b.client.post("d" * 64, "hello", model="scripted/long")
    context = await browser.new_context(java_script_enabled=False, viewport={"width": width, "height": 800})
    page = await context.new_page()
    await page.goto(f"{a.node.url}/ops")
    await expect(page.get_by_role("table", name="Nodes").get_by_role("row")).to_have_count(5)
    await expect(page.get_by_role("table", name="In progress")).to_contain_text("d" * 64)
    body = await page.locator("body").bounding_box()
    table = await page.get_by_role("table", name="Nodes").bounding_box()
    assert body is not None
    assert table is not None
    assert table["x"] + table["width"] <= body["x"] + body["width"] <= width
    await context.close()
