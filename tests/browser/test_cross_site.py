"""A page of another site in a real browser: nothing that it loads from here reaches the history; a link does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from app.history.sql import SqlHistory
from tests.support.server import LiveServer

HTML = """<!doctype html><title>Another site</title><a href="{url}/sessions/s1">a link</a>"""
# Each way in which a page can make the browser ask; it waits until all of them have ended in one way or the other.
ASK = """async (url) => {
  const ended = (element) => new Promise((done) => { element.onload = element.onerror = done; });
  const add = (name, attributes) => {
    const element = Object.assign(document.createElement(name), attributes);
    const end = ended(element);
    document.body.append(element);
    return end;
  };
  const search = `${url}/api/sessions?q=secret`;
  await Promise.allSettled([
    fetch(search, { mode: "no-cors", credentials: "include" }),
    fetch(search, { mode: "cors" }),
    fetch(search, { mode: "no-cors", headers: { Accept: "text/html" } }),
    add("img", { src: search }),
    add("script", { src: search }),
    add("link", { rel: "stylesheet", href: search }),
    add("link", { rel: "prefetch", href: search }),
    add("iframe", { src: `${url}/sessions/s1` }),
    add("iframe", { src: search }),
    add("embed", { src: search }),
    add("object", { data: search }),
  ]);
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(browser: Browser, server: LiveServer) -> AsyncIterator[Page]:
    """A page of `http://localhost:…`; the server is `http://127.0.0.1:…`, which is another site."""
    asked = web.Application()
    page_text = HTML.format(url=server.url)

    async def get_page(_: web.Request) -> web.Response:
        return web.Response(text=page_text, content_type="text/html")

    asked.router.add_get("/", get_page)
    runner = web.AppRunner(asked)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0)
    await site.start()
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"http://localhost:{runner.addresses[0][1]}/")
    yield page
    await context.close()
    await runner.cleanup()


async def test_another_site_reaches_nothing(
    stranger: Page, server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by `fetch`, an image, a script, a style, a prefetch or a frame; the link on it opens the chat."""
    await server.client.ask("s1", "secret", model="scripted/short")
    read: list[str] = []
    real = SqlHistory.sessions

    def sessions(*arguments: Any, **named: Any) -> Any:
        read.append("sessions")
        return real(*arguments, **named)

    monkeypatch.setattr(SqlHistory, "sessions", sessions)
    answers: dict[str, set[int]] = {}
    stranger.on(
        "response", lambda answer: answers.setdefault(urlsplit(answer.url).path, set()).add(answer.status)
    )
    await stranger.evaluate(ASK, server.url)
    assert {path: statuses for path, statuses in answers.items() if path != "/"} == {
        "/api/sessions": {403},
        "/sessions/s1": {403},
    }
    assert read == []
    await stranger.get_by_role("link", name="a link").click()
    await expect(stranger.get_by_text("secret").first).to_be_visible()
    assert read, "the chat's own page lists the sessions"
