"""Twelve tabs of one browser behind nginx and Caddy with TLS and HTTP/2, as the shipped files set them up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Response

from tests.browser.chat import Chat
from tests.browser.complaints import Complaints
from tests.deploy.proxies import PROXIES, Site
from tests.support.server import serve

TABS = 12
PROTOCOLS = """() => performance.getEntries()
    .filter((entry) => entry.name.startsWith("https:") && entry.nextHopProtocol)
    .map((entry) => entry.nextHopProtocol)"""


# Longer by more than what may have been on its way at the reload.
GREW = """(length) => document.querySelector("article[data-role=assistant] [data-part=content]").textContent.length
    > length + 200"""


class Team:
    """Tabs, and the proxy in front."""

    def __init__(self, tabs: list[Chat], site: Site, statuses: list[int]) -> None:
        self.tabs = tabs
        self.site = site
        self.statuses = statuses  # of all responses


@pytest_asyncio.fixture(params=sorted(PROXIES), loop_scope="session")
async def team(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> AsyncIterator[Team]:
    """Twelve open pages of one profile. The test fails at its end if the browser complained about anything."""
    for folder in ("data", "proxy"):
        (tmp_path / folder).mkdir()
    statuses: list[int] = []
    complaints = Complaints()

    def note(response: Response) -> None:
        statuses.append(response.status)

    with ExitStack() as stack:
        async with serve(tmp_path / "data", trusted_proxies=("127.0.0.1",)) as server:
            upstream = int(server.url.rpartition(":")[2])
            proxy = PROXIES[request.param](tmp_path / "proxy", upstream)
            site = await asyncio.to_thread(stack.enter_context, proxy)
            context = await browser.new_context(ignore_https_errors=True)
            context.set_default_timeout(15_000)
            context.on("response", note)
            await complaints.watch(context)
            tabs = [Chat(await context.new_page(), site.url) for _ in range(TABS)]
            for tab in tabs:
                await tab.open("/")
            yield Team(tabs, site, statuses)
            await context.close()
            await asyncio.to_thread(stack.close)
    assert complaints == []


async def test_twelve_tabs_over_a_reload_of_the_proxy(team: Team) -> None:
    """Each tab streams its own answer, goes on over a reload, and stops; nothing is refused, all is HTTP/2."""
    for number, tab in enumerate(team.tabs):
        await tab.ask(f"prompt {number}", "long")
    for tab in team.tabs:
        await tab.streams()
    await asyncio.to_thread(team.site.reload)
    lengths = [len(await tab.words()) for tab in team.tabs]
    for tab, length in zip(team.tabs, lengths, strict=True):
        await tab.page.wait_for_function(GREW, arg=length, polling=100)
    for tab in team.tabs:
        await tab.page.bring_to_front()
        await tab.stop.click()
        await tab.ends("stopped")
    for tab in team.tabs:
        protocols = await tab.page.evaluate(PROTOCOLS)
        assert protocols
        assert set(protocols) <= {"h2", "h3"}
    assert max(team.statuses) < 400
