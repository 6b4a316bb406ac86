"""Pages of another site, which a real browser shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from playwright.async_api import Browser, Page

from tests.browser.complaints import Complaints

HTML = """<!doctype html><title>Another site</title>"""


@asynccontextmanager
async def another_site(
    html: str | Sequence[str] = HTML, headers: Mapping[str, str] | None = None, host: str = "localhost"
) -> AsyncIterator[str]:
    """Serve one page; yield its origin, `http://localhost:…`, which is another site than `http://127.0.0.1:…`.

    A page that needs its own origin first is the only item of a list, and may be put there later; so may headers.
    """

    async def get_page(_: web.Request) -> web.Response:
        text = html if isinstance(html, str) else html[0]
        return web.Response(text=text, content_type="text/html", headers=headers)

    app = web.Application()
    app.router.add_get("/", get_page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, host, 0).start()
    try:
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def visited(browser: Browser, url: str, complaints: Complaints | None = None) -> AsyncIterator[Page]:
    """Open a page in a profile of its own; what the browser complains about is added to `complaints`."""
    context = await browser.new_context()
    if complaints is not None:
        await complaints.watch(context)
    try:
        page = await context.new_page()
        await page.goto(url)
        yield page
    finally:
        await context.close()
