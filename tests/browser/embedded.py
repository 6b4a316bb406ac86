"""A page of somebody else with a `<tailrace-chat>`, as its reader meets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.async_api import Browser, Locator, Page, ViewportSize, expect

from tests.browser.complaints import Complaints
from tests.browser.sites import another_site
from tests.browser.wire import Wire, wire_to
from tests.support.puppet import PuppetBackend, PuppetGeneration
from tests.support.server import LiveServer, serve
from tests.support.waiting import until

DESKTOP: ViewportSize = {"width": 1280, "height": 800}
# What docs/element.md asks for, and nothing else.
POLICY = (
    "default-src 'none'; script-src {url}; connect-src {url}; style-src 'none'; base-uri 'none'; "
    "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HOST = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>A site</title>
<script type="module" src="{script}"></script></head>
<body><main><h1>A site</h1>
<tailrace-chat {attributes}><a href="{url}/">Open the chat</a></tailrace-chat></main></body>
</html>"""
# Collect the element's events at the document, where they arrive from a shadow tree only if they are composed.
LISTEN = """() => {
  window.heard = [];
  for (const name of ["ready", "start", "end", "error"]) {
    document.addEventListener(`tailrace-${name}`, ({ type, detail }) => window.heard.push([type, detail]));
  }
}"""


class Embedded:
    """The element on an open page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.host = page.locator("tailrace-chat")
        self.box = page.get_by_label("Message", exact=True)
        self.send = page.get_by_role("button", name="Send")
        self.stop = page.get_by_role("button", name="Stop", exact=True)
        self.retry = page.get_by_role("button", name="Retry")
        self.log = page.get_by_role("log")
        self.status = self.host.get_by_role("status")
        self.error = self.host.locator(".composer .complaint")
        self.fallback = page.get_by_role("link", name="Open the chat")
        self.prompts = self.host.locator("article[data-role=user] .text")
        self.answers = self.host.locator("article[data-role=assistant]")

    def text(self, index: int = -1) -> Locator:
        """Return the text of an answer, by default the last one."""
        return self.answers.nth(index).locator(".text.markdown")

    def label(self, index: int = -1) -> Locator:
        """Return the line that says how an answer ended."""
        return self.answers.nth(index).locator(".label")

    async def ask(self, prompt: str) -> None:
        """Type a prompt and press Enter."""
        await self.box.fill(prompt)
        await self.box.press("Enter")

    async def ends(self, outcome: str, index: int = -1) -> None:
        """Wait until an answer has ended with that outcome."""
        await expect(self.answers.nth(index)).to_have_attribute("data-outcome", outcome)

    async def heard(self, name: str) -> list[dict[str, Any]]:
        """Return the details of the events of that name which reached the page, after `LISTEN`."""
        heard: list[tuple[str, dict[str, Any]]] = await self.page.evaluate("window.heard")
        return [detail for kind, detail in heard if kind == f"tailrace-{name}"]


class Scene(NamedTuple):
    """The element on a page of a listed origin, the server behind its wire, and the backend of its model."""

    chat: Embedded
    server: LiveServer
    backend: PuppetBackend
    wire: Wire
    origin: str
    complaints: Complaints

    async def generation(self, count: int = 1) -> PuppetGeneration:
        """Wait for a generation; return it when it has begun."""
        await until(lambda: len(self.backend.generations) >= count)
        await self.backend.generations[count - 1].opened.wait()
        return self.backend.generations[count - 1]

    async def ask(self, prompt: str) -> PuppetGeneration:
        """Send a prompt; return its generation, which has said nothing yet."""
        count = len(self.backend.generations)
        await self.chat.ask(prompt)
        return await self.generation(count + 1)


@asynccontextmanager
async def scene(
    browser: Browser,
    folder: Path,
    attributes: str = 'session="s1"',
    *,
    page: str = HOST,
    policy: str = POLICY,
    listed: bool = True,
    host: str = "localhost",
    init: str = "",
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Scene]:
    """Show the element on a page of another origin under a strict policy.

    `attributes` are those of the element, `host` is that of the page, `init` is run before its scripts, `options` are
    those of the browser context. The page reaches the server by a wire. The test fails if the browser complains.
    """
    backend, complaints = PuppetBackend(), Complaints()
    chosen: dict[str, Any] = {"extra": (backend,), "default_model": "puppet/puppet", **settings}
    async with AsyncExitStack() as stack:
        html, headers = [""], dict[str, str]()
        origin = await stack.enter_async_context(another_site(html, headers, host))
        if listed:
            chosen["allowed_origins"] = (origin,)
        server = await stack.enter_async_context(serve(folder, **chosen))
        wire = await stack.enter_async_context(wire_to(server.url))
        url = wire.url + settings.get("base_path", "")
        html[0] = page.format(script=f"{url}/static/element.js", attributes=attributes, url=url)
        headers["Content-Security-Policy"] = policy.format(url=wire.url)
        context = await browser.new_context(**{"viewport": DESKTOP, **(options or {})})
        stack.push_async_callback(context.close)
        await complaints.watch(context)
        if init:
            await context.add_init_script(init)
        shown = await context.new_page()
        await shown.goto(origin)
        yield Scene(Embedded(shown), server, backend, wire, origin, complaints)
    assert complaints == [], complaints  # pytest explains the asserts of tests alone
