"""`TAILRACE_BASE_PATH`: whatever the server hands out begins with it. Requests come with it or without."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from app.config.settings import SettingsError, load
from tests.support.server import serve
from tests.support.sse import read_events
from tests.web.stage import Stage, on_stage, problem

BASE = "/chat"
TOKEN = "plum-9f3c71d2a8e4b605"
HTML = {"Accept": "text/html"}
ADDRESSES = re.compile(r'\s(?:href|src|action|formaction)="([^"]*)"')
IN_DATA = re.compile(rb'"(/[a-z][^"]*)"')

BEFORE = pytest.mark.parametrize("before", ["", BASE], ids=["stripped", "whole"])


@pytest.fixture
async def based(tmp_path: Path) -> AsyncIterator[Stage]:
    """A server under a path, with a session that has an answer."""
    async with on_stage(tmp_path, base_path=BASE + "/") as stage:
        await register(stage, "s1")
        generation = await stage.opened()
        generation.say("One. ", "Two.")
        generation.finish()
        await stage.settled()
        yield stage


async def register(stage: Stage, session_id: str, **headers: str) -> dict[str, Any]:
    """Send a prompt; return the answer and its `Location`."""
    path = f"{BASE}/api/sessions/{session_id}/streams"
    async with stage.http.post(path, json={"prompt": "hello"}, headers=headers) as response:
        return {**await response.json(), "location": response.headers["Location"]}


def is_inside(address: str) -> bool:
    """Tell whether an address leads nowhere outside the base path; `""`, `#…` and `?…` lead to the page itself."""
    return address[:1] in ("", "#", "?") or address.startswith(BASE + "/")


@BEFORE
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?deleted=s9",
        "/sessions/s1",
        "/sessions/s1?q=hello",
        "/sessions/s1/manage",
        "/models",
        "/nothing",
    ],
)
async def test_no_address_of_a_page_leads_outside(based: Stage, before: str, path: str) -> None:
    """Links, forms, scripts, styles and images; what the page links to is there, with the path and without."""
    headers = {**HTML, "Referer": f"{based.client.url}{BASE}/sessions/s1"}
    async with based.http.get(before + path, headers=headers) as response:
        page = await response.text()
    found = {unescape(address) for address in ADDRESSES.findall(page)}
    assert found
    assert [address for address in found if not is_inside(address)] == []
    assert re.findall(r'name="next" value="(?!/chat/)[^"]*"', page) == []
    for address in re.findall(r'(?:src|href)="(/chat/static/[^"]+)"', page):
        for each in (address, address.removeprefix(BASE)):
            async with based.http.get(each) as file:
                assert file.status == 200


@BEFORE
async def test_no_address_of_the_api_leads_outside(based: Stage, before: str) -> None:
    """In bodies, headers and events; each of them answers."""
    registered = await register(based, "s2")
    assert registered["location"] == f"{BASE}/api/streams/{registered['stream_id']}"
    assert registered["events_url"] == registered["location"] + "/events"
    for path in ("/api/sessions", "/api/sessions/s1", "/sessions/s1/snapshot", "/api/models"):
        async with based.http.get(before + path) as response:
            assert response.status == 200
            assert [
                each for each in IN_DATA.findall(await response.read()) if not each.startswith(b"/chat/")
            ] == []
    async with based.http.get(before + "/api/openapi.json") as response:
        assert (await response.json())["servers"] == [{"url": BASE}]
    async with based.http.get(before + f"/api/streams/{registered['stream_id']}") as response:
        assert response.status == 200
    for path, snapshot in (
        ("/api/sessions/s1/events?after=1-1", "/api/sessions/s1"),
        ("/events?watch=s1:1-1", "/sessions/s1/snapshot"),
    ):
        async with based.http.get(before + path) as response:
            reset = await anext(event async for event in read_events(response) if event.name == "reset")
        assert reset.data["snapshot_url"] == BASE + snapshot


@BEFORE
@pytest.mark.parametrize(
    ("path", "form", "target"),
    [
        ("/preferences", {"theme": "dark", "next": f"{BASE}/sessions/s1"}, f"{BASE}/sessions/s1"),
        ("/preferences", {"theme": "dark", "next": "/elsewhere"}, f"{BASE}/"),
        ("/preferences", {"theme": "dark", "next": f"{BASE}/../elsewhere"}, f"{BASE}/"),
        ("/preferences", {"theme": "dark", "next": f"{BASE}/%2e%2e/elsewhere"}, f"{BASE}/"),
        ("/preferences", {"theme": "dark", "next": f"{BASE}x"}, f"{BASE}/"),
        ("/sessions/s1/rename", {"title": "Other"}, f"{BASE}/sessions/s1"),
        ("/sessions/s1/stop", {}, f"{BASE}/sessions/s1"),
        ("/sessions/s1/delete", {}, f"{BASE}/?deleted=s1"),
    ],
)
async def test_forms_lead_to_pages_inside(
    based: Stage, before: str, path: str, form: dict[str, str], target: str
) -> None:
    """303, and cookies are for that path alone."""
    async with based.http.post(before + path, data=form, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, target)
        assert {cookie["path"] for cookie in response.cookies.values()} <= {BASE}


async def test_a_slash_too_many_or_too_few(based: Stage) -> None:
    """308 to the address with the right end, as the browser has to ask for it."""
    for path, target in (
        (BASE, f"{BASE}/"),
        (f"{BASE}?q=x", f"{BASE}/?q=x"),
        (f"{BASE}/sessions/s1/?branch=x", f"{BASE}/sessions/s1?branch=x"),
        ("/sessions/s1/", f"{BASE}/sessions/s1"),
    ):
        async with based.http.get(path, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (308, target)
    for path in (f"{BASE}x", f"{BASE}/nothing/", "//evil.example/"):
        async with based.http.get(
            URL(based.client.url + path, encoded=True), allow_redirects=False
        ) as response:
            assert response.status == 404


@BEFORE
async def test_signing_in(tmp_path: Path, before: str) -> None:
    """The login page knows where to go on, and its cookie is for the path alone."""
    jar = aiohttp.DummyCookieJar()
    async with (
        serve(tmp_path, base_path=BASE, access_token=TOKEN) as live,
        aiohttp.ClientSession(live.url, cookie_jar=jar) as http,
    ):
        async with http.get(f"{before}/sessions/s1?x=1", headers=HTML, allow_redirects=False) as response:
            location = URL(response.headers["Location"])
        assert (location.path, location.query["next"]) == (f"{BASE}/login", f"{BASE}/sessions/s1?x=1")
        form = {"token": TOKEN, "next": location.query["next"]}
        async with http.post(f"{before}/login", data=form, allow_redirects=False) as response:
            assert response.headers["Location"] == location.query["next"]
            [cookie] = response.cookies.values()
            assert cookie["path"] == BASE
        for path in (BASE, "/"):
            async with http.get(f"{path.rstrip('/')}/healthz") as response:
                assert response.status == 200
            async with http.get(f"{path.rstrip('/')}/api/sessions") as response:
                assert f"{BASE}/login" in (await problem(response, 401, "access_token_required"))["detail"]
        async with http.post(f"{before}/logout", allow_redirects=False) as response:
            assert response.headers["Location"] == f"{BASE}/login"
            assert [cookie["path"] for cookie in response.cookies.values()] == [BASE]


@pytest.mark.parametrize(
    "path", ["chat", "/a b", "/a//b", "/../a", "/a/..", "/./a", "//", "/a?b", "/ä", "http://x/"]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    """A mistake is told at start."""
    with pytest.raises(SettingsError, match=r"TAILRACE_BASE_PATH.*expected a path such as /chat"):
        load({"TAILRACE_BASE_PATH": path})


@pytest.mark.parametrize("path", ["/", "/chat", "/chat/", "/tools/chat-2/v1.0_~"])
def test_what_is_a_path_is_taken(path: str) -> None:
    """A slash at the end makes no difference."""
    assert load({"TAILRACE_BASE_PATH": path}).base_path == path
