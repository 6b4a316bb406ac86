"""The sites and the page of examples/, started as the README says, in a real browser and over sockets."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.chat import Chat
from tests.deploy.running import tailrace
from tests.examples import readme
from tests.support.ports import free_port
from tests.support.sse import read_events
from tests.support.waiting import until_told

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALICE = ("alice", "wonderland")
BOUND = aiohttp.ClientTimeout(total=30)
SCRIPTED = {"TAILRACE_SCRIPTED": "1", "TAILRACE_EMBEDDED": "0", "TAILRACE_OLLAMA_URL": "off"}


# ---- a page of another origin --------------------------------------------------------------------------------


class Pages(NamedTuple):
    """The page at two addresses: the server lists the first one."""

    listed: str
    unlisted: str


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """The page, with a server that repeats what it is told."""
    server, static = readme.commands("html")
    assert server.env == {"TAILRACE_ALLOWED_ORIGINS": f"http://localhost:{readme.SITE_PORT}"}
    copy = tmp_path_factory.mktemp("html") / "page"
    shutil.copytree(static.folder, copy)
    with readme.site(static, copy) as listed, readme.site(static, copy) as unlisted:
        settings = {"ALLOWED_ORIGINS": listed, "DEFAULT_MODEL": "scripted/echo"}
        with tailrace(tmp_path_factory.mktemp("data"), **settings) as port:
            page = copy / "index.html"
            text = page.read_text(encoding="utf-8")
            assert text.count("http://127.0.0.1:8080") == 3
            page.write_text(text.replace("127.0.0.1:8080", f"127.0.0.1:{port}"), encoding="utf-8")
            yield Pages(listed, unlisted)


async def ask(page: Page, prompt: str) -> None:
    """Use the form."""
    await page.get_by_label("Prompt").fill(prompt)
    await page.get_by_role("button", name="Ask").click()


async def test_a_page_of_another_origin(context: BrowserContext, pages: Pages) -> None:
    """It shows answers, one after the other."""
    page = await context.new_page()
    await page.goto(pages.listed)
    for prompt in ("Does the wheel turn?", "<b>Always?</b>"):
        await ask(page, prompt)
        await expect(page.get_by_role("status")).to_have_text("complete")
        await expect(page.locator("#answer")).to_have_text(prompt)
        await expect(page.get_by_role("button", name="Stop")).to_be_disabled()


async def test_it_stops(context: BrowserContext, pages: Pages) -> None:
    """What came stays."""
    page = await context.new_page()
    await page.goto(pages.listed)
    await ask(page, "round and " * 10_000)
    await expect(page.locator("#answer")).to_contain_text("round and round")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_role("status")).to_have_text("stopped")
    await expect(page.locator("#answer")).to_contain_text("round and round")


async def test_a_page_that_is_not_listed(browser: Browser, pages: Pages) -> None:
    """It says that it cannot ask."""
    context = await browser.new_context()  # which complains about that
    page = await context.new_page()
    await page.goto(pages.unlisted)
    await ask(page, "hello")
    await expect(page.get_by_role("status")).to_contain_text("Failed to fetch")
    await context.close()


# ---- the chat as a part of a site ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def website(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The aiohttp site."""
    [command] = readme.commands("aiohttp_site")
    with readme.site(command, TAILRACE_DATA_DIR=str(tmp_path_factory.mktemp("data")), **SCRIPTED) as url:
        yield url


async def sign_in(page: Page, name: str, password: str) -> None:
    """Use the form of the aiohttp site."""
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("main").get_by_role("button", name="Sign in").click()


async def test_the_chat_of_an_aiohttp_site(context: BrowserContext, website: str) -> None:
    """The site's sign-in leads to it and back out of it."""
    page = await context.new_page()
    await page.goto(f"{website}/chat/")
    assert urlsplit(page.url).path == "/sign-in"
    await sign_in(page, "alice", "builder")
    await expect(page.get_by_role("alert")).to_have_text("Wrong name or password")
    await sign_in(page, *ALICE)
    await page.wait_for_url(f"{website}/chat/")
    chat = Chat(page, website)
    await chat.alive()
    await chat.ask("Does the wheel turn?", "echo")
    await chat.ends("complete")
    assert (await chat.words()).strip() == "Does the wheel turn?"
    await page.goto(website)
    await expect(page.get_by_role("main")).to_contain_text("Good day, alice.")
    await page.get_by_role("button", name="Sign out alice").click()
    await expect(page.get_by_role("main")).to_contain_text("Sign in to ask")
    await page.goto(f"{website}/chat/")
    assert urlsplit(page.url).path == "/sign-in"


@pytest.mark.parametrize(
    ("after", "leads_to"),
    [
        ("/chat/sessions/s1", "/chat/sessions/s1"),
        ("//elsewhere.example", "/"),
        ("/\\elsewhere.example", "/"),
        ("http:", "/"),
    ],
)
async def test_signing_in_leads_back_into_the_site(website: str, after: str, leads_to: str) -> None:
    """And never out of it."""
    async with aiohttp.ClientSession(website) as http:
        form = {"name": "bob", "password": "builder"}
        async with http.post(
            "/sign-in", params={"next": after}, data=form, allow_redirects=False
        ) as response:
            assert (response.status, response.headers["Location"]) == (303, leads_to)
            assert "HttpOnly" in response.headers["Set-Cookie"]


async def test_an_unknown_person(website: str) -> None:
    """An empty password is no password."""
    async with aiohttp.ClientSession(website) as http:
        for name, password in (("carol", ""), ("", ""), ("bob", "")):
            async with http.post("/sign-in", data={"name": name, "password": password}) as response:
                assert (response.status, response.cookies.get("website")) == (403, None)


# ---- the chat behind a site ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fastapi_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The FastAPI site, with Tailrace behind it, which ends answers soon after their last reader has left."""
    server, site = readme.commands("fastapi_site")
    settings = {name.removeprefix("TAILRACE_"): value for name, value in server.env.items()}
    with (
        tailrace(tmp_path_factory.mktemp("data"), VIEWER_GRACE="0.1", **settings) as port,
        readme.site(site, TAILRACE_URL=f"http://127.0.0.1:{port}") as url,
    ):
        yield url


@asynccontextmanager
async def program(url: str, name: str, password: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A program of a person."""
    headers = {"Authorization": aiohttp.encode_basic_auth(name, password)}
    async with aiohttp.ClientSession(url, headers=headers, timeout=BOUND) as http:
        yield http


async def test_the_chat_behind_a_fastapi_site(browser: Browser, fastapi_site: str) -> None:
    """The site leads to it, and lists its chats."""
    name, password = ALICE
    context = await browser.new_context(http_credentials={"username": name, "password": password})
    page = await context.new_page()
    await page.goto(fastapi_site)
    await page.get_by_role("link", name="Ask the miller.").click()
    chat = Chat(page, fastapi_site)
    await chat.alive()
    await chat.ask("Does the wheel turn?", "echo")
    await chat.ends("complete")
    assert (await chat.words()).strip() == "Does the wheel turn?"
    await page.goto(fastapi_site)
    await page.get_by_role("link", name="Does the wheel turn?").click()
    await expect(chat.prompts).to_have_text(["Does the wheel turn?"])
    await context.close()


async def test_events_come_as_they_happen(fastapi_site: str) -> None:
    """Through the site, while the answer runs; a stop ends it."""
    path, body = "/chat/api/sessions/running/streams", {"prompt": "hello", "model": "scripted/hang-middle"}
    events_only = {"Accept": "text/event-stream"}
    async with (
        program(fastapi_site, *ALICE) as http,
        http.post(path, json=body, headers=events_only) as response,
    ):
        assert response.status == 201
        assert len(response.headers.getall("Date")) == len(response.headers.getall("Server")) == 1
        events = read_events(response)
        text = ""
        while text != "It begins well, and then":
            event = await anext(events)
            text += event.data["text"] if event.name == "token" else ""
        async with http.delete("/chat/api/sessions/running/stream") as stopped:
            assert (await stopped.json())["outcome"] == "stopped"
        assert [event async for event in events][-1].data["outcome"] == "stopped"


async def test_who_leaves_is_seen_to_leave(fastapi_site: str) -> None:
    """The site closes its own request when the browser closes its: nobody reads the answer any more."""
    path, body = "/chat/api/sessions/left", {"prompt": "hello", "model": "scripted/hang-middle"}
    events_only = {"Accept": "text/event-stream"}
    async with program(fastapi_site, *ALICE) as http:
        async with http.post(f"{path}/streams", json=body, headers=events_only) as response:
            await anext(read_events(response))
            response.close()

        async def ended() -> bool:
            async with http.get(path) as response:
                answer = (await response.json())["messages"][-1]
            return bool(answer["outcome"] == "abandoned")

        await until_told(ended)


async def test_only_the_site_says_who_asks(fastapi_site: str) -> None:
    """A header of a client's own is not passed on, nor is a password."""
    path = "/chat/api/sessions/hers"
    body = {"prompt": "hello", "model": "scripted/echo"}
    claims = {"X-Forwarded-User": "alice"}
    async with (
        aiohttp.ClientSession(fastapi_site, timeout=BOUND) as http,
        http.get(path, headers=claims) as response,
    ):
        assert response.status == 401
    async with program(fastapi_site, *ALICE) as http, http.post(f"{path}/streams", json=body) as response:
        assert response.status == 201
    async with program(fastapi_site, "alice", "builder") as http, http.get(path) as response:
        assert response.status == 401
    async with program(fastapi_site, "bob", "builder") as http:
        for headers in ({}, claims):
            async with http.get(path, headers=headers) as response:
                assert (response.status, (await response.json())["code"]) == (404, "session_not_found")


async def test_a_site_without_its_chat() -> None:
    """It says so, and goes on."""
    _, site = readme.commands("fastapi_site")
    with readme.site(site, TAILRACE_URL=f"http://127.0.0.1:{free_port()}") as url:
        async with program(url, *ALICE) as http, http.get("/chat/") as response:
            assert response.status == 502
            assert "The chat does not answer." in (await response.json())["detail"]
