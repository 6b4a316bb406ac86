"""`<tailrace-chat>` on pages of the same site: behind a real nginx, and in an aiohttp application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import jinja2
import pytest
from aiohttp import web
from playwright.async_api import Browser, Request, expect

from app.embedding import Settings, tailrace, templates
from tests.browser.complaints import Complaints
from tests.browser.embedded import HOST, Embedded
from tests.browser.sites import visited
from tests.deploy.proxies import nginx
from tests.support.fresh import lay_history
from tests.support.server import serve

BASE = "/chat"
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; require-trusted-types-for 'script'"
SITE = """    location = /help {{
        alias {file};
        default_type text/html;
        add_header Content-Security-Policy "{policy}";
    }}
    location {base} {{
        proxy_pass http://tailrace;"""
PAGE = """{% from "tailrace/chat.html" import chat %}<!doctype html>
<html lang="en"><title>A site</title><h1>{{ title }}</h1>{{ chat("/chat", session="help", model=model) }}</html>"""


async def test_below_a_path_of_the_same_site(browser: Browser, tmp_path: Path) -> None:
    """A page of the site, and the chat behind the same nginx: what is asked for stays below that path."""
    complaints, asked = Complaints(), list[str]()
    for folder in ("data", "nginx"):
        (tmp_path / folder).mkdir()
    file = tmp_path / "nginx" / "help.html"
    file.write_text(HOST.format(script=f"{BASE}/static/element.js", attributes='session="s1"', url=BASE))
    place = SITE.format(file=file, policy=POLICY, base=BASE)
    changes = (("    location / {\n        proxy_pass http://tailrace;", place),)
    with ExitStack() as stack:
        async with serve(tmp_path / "data", base_path=BASE, default_model="scripted/echo") as server:
            upstream = int(server.url.rpartition(":")[2])
            site = await asyncio.to_thread(
                stack.enter_context, nginx(tmp_path / "nginx", upstream, changes=changes)
            )
            async with visited(browser, f"http://127.0.0.1:{site.plain}/help", complaints) as page:

                def note(request: Request) -> None:
                    asked.append(urlsplit(request.url).path)

                page.on("request", note)
                chat = Embedded(page)
                await chat.ask("hello **there**")
                await chat.ends("complete")
                await expect(chat.text().locator("strong")).to_have_text("there")
                await page.reload()
                await expect(chat.text()).to_have_text("hello there")
                await expect(chat.answers).to_have_count(1)
            await asyncio.to_thread(stack.close)
    assert [path for path in asked if not path.startswith(f"{BASE}/") and path != "/help"] == []
    assert complaints == []


@asynccontextmanager
async def shop(folder: Path) -> AsyncIterator[str]:
    """Run a site that has the chat as a sub-application, and a page of its own templates; yield its address."""
    await lay_history(folder)
    loader = jinja2.ChoiceLoader([jinja2.DictLoader({"help.html": PAGE}), templates()])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)

    async def get_help(_: web.Request) -> web.Response:
        text = environment.get_template("help.html").render(title="Help & more", model="scripted/echo")
        headers = {"Content-Security-Policy": POLICY}
        return web.Response(text=text, content_type="text/html", headers=headers)

    site = web.Application()
    site.router.add_get("/help", get_help)
    settings = Settings(data_dir=folder, embedded=False, scripted=True, ollama_url=None)
    site.add_subapp(BASE, tailrace(settings, user=lambda _: "me"))
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_the_macro_in_a_site_of_its_own(browser: Browser, tmp_path: Path) -> None:
    """The page is rendered by the site's own Jinja; the chat in it is the one at the path, also on its own page."""
    complaints = Complaints()
    async with shop(tmp_path) as url, visited(browser, f"{url}/help", complaints) as page:
        chat = Embedded(page)
        await chat.ask("hello")
        await chat.ends("complete")
        await expect(chat.text()).to_have_text("hello")
        await page.goto(f"{url}{BASE}/sessions/help")
        await expect(page.locator("article[data-role=assistant] [data-part=content]")).to_have_text("hello")
    assert complaints == []


async def test_the_macro_without_scripts(browser: Browser, tmp_path: Path) -> None:
    """What is left is a link to the server's own page, which needs none."""
    async with shop(tmp_path) as url:
        context = await browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{url}/help")
        await page.get_by_role("link", name="Open the chat").click()
        await expect(page).to_have_url(f"{url}{BASE}/")
        await expect(page.get_by_label("Message", exact=True)).to_be_visible()
        await context.close()


@pytest.mark.parametrize("autoescape", [True, False])
def test_the_macro_escapes(autoescape: bool) -> None:
    """Whatever the environment does by itself."""
    environment = jinja2.Environment(loader=templates(), autoescape=autoescape)
    call = """{% from "tailrace/chat.html" import chat %}{{ chat('/a"<b>/', session='"<i>', nonce='"', text="<u>") }}"""
    html = environment.from_string(call).render()
    assert html == (
        '<script type="module" src="/a&#34;&lt;b&gt;/static/element.js" nonce="&#34;"></script>\n'
        '<tailrace-chat server="/a&#34;&lt;b&gt;" session="&#34;&lt;i&gt;">'
        '<a href="/a&#34;&lt;b&gt;/">&lt;u&gt;</a></tailrace-chat>'
    )


def test_the_macro_takes_a_fallback() -> None:
    """What stands in the call is for who has no JavaScript."""
    environment = jinja2.Environment(loader=templates(), autoescape=True)
    call = '{% from "tailrace/chat.html" import chat %}{% call chat("/chat") %}<p>Call us.</p>{% endcall %}'
    html = environment.from_string(call).render()
    assert html.endswith('<tailrace-chat server="/chat"><p>Call us.</p></tailrace-chat>')
