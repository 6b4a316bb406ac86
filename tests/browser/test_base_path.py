"""The page under a path of a real nginx: everything that it does stays below that path."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Request, expect

from tests.browser.chat import Chat
from tests.deploy.proxies import nginx
from tests.support.server import serve

BASE = "/chat"
LOCATION = "    location {} {{\n        proxy_pass http://tailrace{};"
WHOLE = ((LOCATION.format("/", ""), LOCATION.format(BASE, "")),)
STRIPPED = ((LOCATION.format("/", ""), LOCATION.format(f"{BASE}/", "/")),)


@pytest_asyncio.fixture(params=[WHOLE, STRIPPED], ids=["whole", "stripped"], loop_scope="session")
async def below(
    request: pytest.FixtureRequest, context: BrowserContext, tmp_path: Path
) -> AsyncIterator[Chat]:
    """A page behind nginx, which passes the path on or takes it away. At its end all that it asked for is looked at."""
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    context.on("request", note)
    for folder in ("data", "nginx"):
        (tmp_path / folder).mkdir()
    with ExitStack() as stack:
        async with serve(tmp_path / "data", base_path=BASE) as server:
            upstream = int(server.url.rpartition(":")[2])
            proxy = nginx(tmp_path / "nginx", upstream, changes=request.param)
            site = await asyncio.to_thread(stack.enter_context, proxy)
            yield Chat(await context.new_page(), f"http://127.0.0.1:{site.plain}{BASE}")
            assert server.registry.statistics().viewers, "the worker has no event stream"
            await context.close()
            await asyncio.to_thread(stack.close)
    paths = {urlsplit(url).path for url in asked if url.startswith("http")}
    assert [path for path in paths if not path.startswith(BASE + "/")] == []
    assert f"{BASE}/" in paths


def below_base(chat: Chat, path: str) -> str:
    """Return a whole address."""
    return chat.url + path


async def test_a_chat_below_a_path(below: Chat) -> None:
    """Asking, reloading, renaming, going elsewhere by keys and links, deleting and its undo."""
    page = below.page
    await below.open("/")
    await below.ask("hello there", "echo")
    await below.ends("complete")
    assert await below.words() == "hello there"
    assert page.url.startswith(below_base(below, "/sessions/"))
    where = page.url
    await page.reload()
    await below.alive()
    assert await below.words() == "hello there"
    await page.keyboard.press("Control+Shift+O")
    await page.wait_for_url(below_base(below, "/"))
    await below.alive()
    await page.locator("#sessions .session").click()
    await page.wait_for_url(where)
    await below.alive()
    await page.locator("#sessions .more").click()
    menu = page.locator("#session-menu")
    await expect(menu.locator("[data-part=json]")).to_have_attribute("href", re.compile(f"^{BASE}/api/"))
    await menu.get_by_role("button", name="Rename").click()
    await page.get_by_label("Title").fill("Brooks")
    await page.keyboard.press("Enter")
    await expect(page.locator("#sessions .session")).to_have_text("Brooks")
    await page.locator("#sessions .more").click()
    await menu.get_by_role("button", name="Delete").click()
    await page.wait_for_url(below_base(below, "/?deleted=*"))
    await below.alive()
    await page.get_by_role("button", name="Undo").click()
    await page.wait_for_url(where)
    await below.ask("and again", "echo")
    await below.ends("complete")


async def test_the_plain_page_below_a_path(below: Chat) -> None:
    """Without JavaScript forms lead where scripts would; with it, the mark that forms leave is taken back."""
    browser = below.page.context.browser
    assert browser is not None
    plain = await browser.new_context(java_script_enabled=False)
    page = await plain.new_page()
    await page.goto(below_base(below, "/"))
    await page.locator("select[name=model]").select_option("scripted/echo")
    await page.locator("#prompt").fill("hello there")
    await page.get_by_role("button", name="Send").click()
    await page.wait_for_url(below_base(below, "/sessions/*"))
    await expect(page.locator("article[data-role=assistant] [data-part=content]")).to_contain_text(
        "hello there"
    )
    await plain.close()
    await below.open("/")
    await below.ask("hello again", "hang-middle")
    await expect(below.text()).to_have_text("It begins well, and then")
    await below.page.context.add_cookies(
        [{"name": "tailrace_plain", "value": "1", "domain": "127.0.0.1", "path": BASE}]
    )
    await below.page.goto(below.page.url, wait_until="commit")
    await expect(below.box).to_be_visible()  # the page with scripts: the other has it only after the answer
    assert await below.page.context.cookies() == []
    await below.alive()
    await expect(below.text()).to_have_text("It begins well, and then")
    await below.stop.click()
    await below.ends("stopped")
