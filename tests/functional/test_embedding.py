"""The chat as a part of another aiohttp application, as docs/embedding.md has it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from app.agent import Chat, Note
from app.embedding import Settings, SettingsError, StartupError, signed_out, tailrace
from app.web.app_keys import REGISTRY
from tests.deploy.running import running
from tests.support.fresh import lay_history
from tests.support.ports import free_port
from tests.support.processes import ROOT, environment
from tests.support.sse import Event, read_events
from tests.support.waiting import until
from tests.web.stage import problem

USER = web.RequestKey("user", str)
BOUND = 20  # seconds, for one request

HTML = {"Accept": "text/html"}
DOCUMENT = (ROOT / "docs/embedding.md").read_text(encoding="utf-8")


class Site:
    """A running parent, and a client of it who is signed in as `alice`."""

    def __init__(
        self, runner: web.AppRunner, chat: web.Application, http: aiohttp.ClientSession, url: str
    ) -> None:
        self.runner = runner
        self.chat = chat
        self.http = http
        self.url = url

    async def post(self, session: str, prompt: str, **body: Any) -> dict[str, Any]:
        """Register a stream."""
        path = f"/chat/api/sessions/{session}/streams"
        async with self.http.post(path, json={"prompt": prompt, **body}) as response:
            assert response.status == 201, await response.text()
            registered: dict[str, Any] = await response.json()
            return registered

    async def read(self, url: str) -> list[Event]:
        """Return all events at an address."""
        async with self.http.get(url) as response:
            assert response.status == 200, await response.text()
            return [event async for event in read_events(response) if event.name != "heartbeat"]


@web.middleware
async def signs_in(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The sign-in of the parent: it believes a header."""
    if "X-Test-User" in request.headers:
        request[USER] = request.headers["X-Test-User"]
    response = await handler(request)
    assert request.app is request.match_info.apps[0], "the parent's middleware is in the parent"
    return response


async def home(_: web.Request) -> web.Response:
    """A page of the parent."""
    return web.Response(text="The site")


def user(request: web.Request) -> str | None:
    """Tell what the middleware found."""
    return request.get(USER)


def settings(folder: Path, **more: Any) -> Settings:
    """The scripted models alone."""
    return Settings(
        **{
            "data_dir": folder,
            "embedded": False,
            "ollama_url": None,
            "scripted": True,
            "admins": ("root",),
            "drain_timeout": 0.2,
            **more,
        },
    )


@asynccontextmanager
async def parent(
    folder: Path, path: str = "/chat", *, mine: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Site]:
    """Run a site with a chat; `mine` are settings, `options` those of `tailrace`."""
    await lay_history(folder)
    chat = tailrace(settings(folder, **(mine or {})), **{"user": user, **options})
    site = web.Application(middlewares=[signs_in])
    site.router.add_get("/", home)
    site.add_subapp(path, chat)
    runner = web.AppRunner(site)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        headers = {"X-Test-User": "alice"}
        async with aiohttp.ClientSession(
            url, headers=headers, connector=aiohttp.TCPConnector(limit=0)
        ) as http:
            yield Site(runner, chat, http, url)
    finally:
        await runner.cleanup()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A site with a chat."""
    async with parent(tmp_path) as live:
        yield live


def text(events: list[Event]) -> str:
    """Return the answer."""
    return "".join(event.data["text"] for event in events if event.name == "token")


# ---- the chat ------------------------------------------------------------------------------------------------


async def test_an_answer(site: Site) -> None:
    """Asked, streamed and kept below the path; the site's own pages are where they were."""
    registered = await site.post("s1", "hello there", model="scripted/echo")
    assert registered["events_url"] == f"/chat/api/streams/{registered['stream_id']}/events"
    events = await site.read(registered["events_url"])
    assert (text(events), events[-1].data["outcome"]) == ("hello there", "complete")
    async with site.http.get("/chat/api/sessions/s1") as response:
        assert [each["content"] for each in (await response.json())["messages"]] == ["hello there"] * 2
    async with site.http.get("/") as response:
        assert await response.text() == "The site"
        assert "Content-Security-Policy" not in response.headers
    async with site.http.get("/api/sessions") as response:
        assert response.status == 404


async def test_the_page(site: Site) -> None:
    """Everything that it links to is below the path, and there; it has the chat's security headers."""
    async with site.http.get("/chat/", headers=HTML) as response:
        page = await response.text()
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    addresses = re.findall(r'\s(?:href|src|action|formaction)="(/[^"]*)"', page)
    assert [each for each in addresses if not each.startswith("/chat/")] == []
    for address in re.findall(r'(?:src|href)="(/chat/static/[^"]+)"', page):
        async with site.http.get(address) as file:
            assert file.status == 200
    async with site.http.get("/chat?q=x", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (308, "/chat/?q=x")
    async with site.http.get("/chat/nothing", headers=HTML) as response:
        assert (response.status, "Page not found" in await response.text()) == (404, True)
    async with site.http.get("/chat/api/openapi.json") as response:
        assert (await response.json())["servers"] == [{"url": "/chat"}]


async def test_a_large_prompt(site: Site) -> None:
    """Bounded by the chat's limits, not by the parent's megabyte."""
    path = "/chat/api/sessions/s1/streams"
    body = json.dumps({"prompt": "\x01" * 250_000, "model": "scripted/hang"}).encode()
    assert len(body) > 2**20
    headers = {"Content-Type": "application/json"}
    async with site.http.post(path, data=io.BytesIO(body), headers=headers) as response:
        assert response.status == 201
    async with site.http.post(path, json={"prompt": "x" * 300_000}) as response:
        await problem(response, 413, "prompt_too_long")


async def test_an_agent_of_the_site(tmp_path: Path) -> None:
    """It is a model, without a setting."""

    async def answer(chat: Chat) -> AsyncIterator[str | Note]:
        yield Note("Looking…")
        yield f"{chat.owner} asks: {chat.prompt}"

    async with parent(tmp_path, agents={"mine": answer}) as site:
        registered = await site.post("s1", "why?", model="agent/mine")
        assert text(await site.read(registered["events_url"])) == "alice asks: why?"


async def test_deeper_down(tmp_path: Path) -> None:
    """A parent may be a part of another application itself."""
    await lay_history(tmp_path)
    site, part = web.Application(middlewares=[signs_in]), web.Application()
    part.add_subapp("/chat", tailrace(settings(tmp_path), user=user))
    site.add_subapp("/tools", part)
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(url, headers={"X-Test-User": "alice"}) as http:
        body = {"prompt": "hello", "model": "scripted/echo"}
        async with http.post("/tools/chat/api/sessions/s1/streams", json=body) as response:
            assert (await response.json())["events_url"].startswith("/tools/chat/api/streams/")
    await runner.cleanup()


# ---- who is let in -------------------------------------------------------------------------------------------


async def test_each_user_has_chats_of_their_own(site: Site) -> None:
    """And an admin sees what nobody else does."""
    await site.read((await site.post("s1", "hello", model="scripted/echo"))["events_url"])
    for name, status in (("alice", 200), ("bob", 404)):
        async with site.http.get("/chat/api/sessions/s1", headers={"X-Test-User": name}) as response:
            assert response.status == status
    for name, status in (("root", 200), ("alice", 404)):
        for path in ("/chat/ops", "/chat/metrics"):
            async with site.http.get(path, headers={"X-Test-User": name}) as response:
                assert response.status == status


async def test_nobody(tmp_path: Path) -> None:
    """A program is told, a browser is led to the sign-in of the parent and back again."""
    async with parent(tmp_path, user=lambda _: None, sign_in="/sign-in?by=mail") as site:
        async with site.http.get("/chat/api/sessions") as response:
            await problem(response, 401, "not_signed_in")
        async with site.http.get("/chat/sessions/s1?x=1", headers=HTML, allow_redirects=False) as response:
            assert response.status == 303
            assert response.headers["Location"] == "/sign-in?by=mail&next=/chat/sessions/s1?x%3D1"
        async with site.http.get(
            "/chat/login?next=/chat/sessions/s1", headers=HTML, allow_redirects=False
        ) as response:
            assert response.headers["Location"] == "/chat/sessions/s1"
        async with site.http.post("/chat/api/sessions/s1/streams", json={"prompt": "x"}) as response:
            await problem(response, 401, "not_signed_in")
        async with site.http.get("/chat/healthz") as response:
            assert response.status == 200


async def test_a_parent_that_looks_its_users_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may wait for that, but not for ever; what it raises is the answer."""
    monkeypatch.setattr("app.web.security.parent_gate.USER_SECONDS", 0.05)

    async def looked_up(request: web.Request) -> str | None:
        name = await asyncio.to_thread(user, request)
        if name == "late":
            await asyncio.Event().wait()
        if name == "gone":
            raise web.HTTPSeeOther("/elsewhere")
        return name

    async with parent(tmp_path, user=looked_up) as site:
        async with site.http.get("/chat/api/sessions") as response:
            assert response.status == 200
        async with site.http.get("/chat/api/sessions", headers={"X-Test-User": "late"}) as response:
            await problem(response, 503, "sign_in_unavailable")
        async with site.http.get(
            "/chat/", headers={"X-Test-User": "gone"}, allow_redirects=False
        ) as response:
            assert (response.status, response.headers["Location"]) == (303, "/elsewhere")


@pytest.mark.parametrize("name", ["local", "a b", "", "x" * 129, 7])
async def test_an_id_that_cannot_be_used(tmp_path: Path, name: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what is wrong; nobody is let in as somebody else."""
    async with parent(tmp_path, user=lambda _: name) as site, site.http.get("/chat/api/sessions") as response:
        await problem(response, 500, "internal")
    assert "TypeError: user() returned" in caplog.text
    assert "is a str of 1 to 128 letters" in caplog.text


async def test_another_site(site: Site) -> None:
    """Cannot ask, whatever the parent says about its cookie; and another name is refused until it is listed."""
    headers = {"Sec-Fetch-Site": "cross-site"}
    async with site.http.post(
        "/chat/api/sessions/s1/streams", json={"prompt": "x"}, headers=headers
    ) as response:
        await problem(response, 403, "foreign_origin")
    async with site.http.get("/chat/api/sessions", headers={"Host": "www.example.org"}) as response:
        await problem(response, 421, "host_not_allowed")


async def test_signing_out(site: Site) -> None:
    """It ends the open event streams of this user, and of nobody else."""
    for name in ("alice", "bob"):
        path = "/chat/api/sessions/s1/streams"
        body = {"prompt": "x", "model": "scripted/hang-middle"}
        async with site.http.post(path, json=body, headers={"X-Test-User": name}) as response:
            assert response.status == 201
    watch = "/chat/api/sessions/s1/events"
    async with (
        site.http.get(watch) as hers,
        site.http.get(watch, headers={"X-Test-User": "bob"}) as his,
    ):
        await anext(read_events(hers))
        await anext(read_events(his))
        signed_out(site.chat, "alice")
        with pytest.raises(aiohttp.ClientPayloadError):
            async with asyncio.timeout(BOUND):
                await hers.read()
        async with site.http.delete(
            "/chat/api/sessions/s1/stream", headers={"X-Test-User": "bob"}
        ) as response:
            assert response.status == 200
        assert b"event: end" in await his.content.readuntil(b"event: end")
    signed_out(site.chat, "nobody")
    async with site.http.get("/chat/api/sessions") as response:
        assert response.status == 200, "the parent still lets her in"


# ---- its life ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("patience", "outcome"), [(20.0, "complete"), (0.05, "interrupted")])
async def test_the_parent_ends(tmp_path: Path, patience: float, outcome: str) -> None:
    """Running answers may finish, for a while; every open stream ends, so that the parent waits for none."""
    finish = asyncio.Event()

    async def answer(_: Chat) -> AsyncIterator[str]:
        yield "It begins"
        await finish.wait()
        yield " and ends."

    async with parent(tmp_path, mine={"drain_timeout": patience}, agents={"slow": answer}) as site:
        registered = await site.post("s1", "hello", model="agent/slow")
        opened = [
            await site.http.get(path, headers={"X-Test-User": name})
            for path, name in (
                (registered["events_url"], "alice"),
                ("/chat/api/sessions/s1/events", "alice"),
                ("/chat/api/sessions/later/events", "alice"),
                ("/chat/events?watch=s1", "alice"),
                ("/chat/ops/events", "root"),
            )
        ]
        assert [response.status for response in opened] == [200] * 5
        ending = asyncio.create_task(site.runner.cleanup())
        await until(lambda: site.chat[REGISTRY].draining)
        if outcome == "complete":
            finish.set()
        bodies = await asyncio.gather(*(response.read() for response in opened))
        await ending
    assert f'"outcome":"{outcome}"'.encode() in bodies[0]
    async with parent(tmp_path) as again, again.http.get("/chat/api/sessions/s1") as response:
        assert (await response.json())["messages"][-1]["outcome"] == outcome


async def test_its_log_is_the_parent_s(
    site: Site, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Lines go to a logger of `logging`, which decides about levels; nothing is printed."""
    caplog.set_level(logging.INFO, "tailrace")
    await site.read((await site.post("s1", "hello", model="scripted/echo"))["events_url"])
    await until(lambda: "stream_end " in caplog.text)
    line = next(record for record in caplog.records if record.getMessage().startswith("stream_end "))
    assert (line.name, line.levelname) == ("tailrace", "INFO")
    assert "session=alice/s1 owner=alice" in line.getMessage()
    caplog.clear()
    caplog.set_level(logging.WARNING, "tailrace")
    await site.read((await site.post("s2", "hello", model="scripted/echo"))["events_url"])
    told = [record for record in caplog.records if record.name == "tailrace"]
    assert [
        record for record in told if record.levelno < logging.WARNING
    ] == []  # a busy machine is warned of
    assert "stream_" not in "".join(capfd.readouterr())


async def test_a_parent_s_own_responses_are_left_alone(tmp_path: Path) -> None:
    """One that its middleware makes under the chat's path, and a failure of `user`, end as the parent wants."""

    @web.middleware
    async def closed(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "closed" in request.query:
            response = web.StreamResponse(status=503)
            await response.prepare(request)
            return response
        return await handler(request)

    await lay_history(tmp_path)
    site = web.Application(middlewares=[closed])
    site.add_subapp("/chat", tailrace(settings(tmp_path), user=lambda _: "alice"))
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as http,
        http.get("/chat/?closed") as response,
    ):
        assert (response.status, "Content-Security-Policy" in response.headers) == (503, False)
    await runner.cleanup()


@pytest.mark.parametrize(
    ("mine", "options", "sentence"),
    [
        ({"access_token": "x" * 30}, {}, "TAILRACE_ACCESS_TOKEN has no effect in a sub-application"),
        ({"auth": "proxy"}, {}, "TAILRACE_AUTH has no effect in a sub-application"),
        ({}, {"agents": {"mine": print}}, "agents: mine is a plain function; an agent is an async generator"),
        ({}, {"agents": {"a b": print}}, "agents: 'a b' is no name for an agent"),
    ],
)
def test_what_cannot_be_is_told(
    tmp_path: Path, mine: dict[str, Any], options: dict[str, Any], sentence: str
) -> None:
    """At once, with what to do."""
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        tailrace(settings(tmp_path, **mine), user=user, **options)


@pytest.mark.parametrize(
    ("mine", "sentence"),
    [
        ({"base_path": "/other"}, "TAILRACE_BASE_PATH is /other, but the chat is at /chat"),
        ({"data_dir": Path("/proc/nowhere")}, "cannot use the data folder /proc/nowhere"),
        ({"agents": ("nowhere:answer",)}, "there is no module 'nowhere'"),
    ],
)
async def test_a_chat_that_cannot_open(tmp_path: Path, mine: dict[str, Any], sentence: str) -> None:
    """It does not let its parent start, and says why."""
    await lay_history(tmp_path)
    site = web.Application()
    site.add_subapp("/chat", tailrace(settings(tmp_path, **mine), user=user))
    runner = web.AppRunner(site)
    with pytest.raises(StartupError, match=re.escape(sentence)):
        await runner.setup()
    await runner.cleanup()


# ---- the document --------------------------------------------------------------------------------------------


def test_the_site_of_the_document(tmp_path: Path) -> None:
    """Typed as it stands there: it starts, has a page and a chat, and ends at a signal."""
    port = free_port()
    code = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)[0]
    assert code.count("port=8000") == 1
    (tmp_path / "site.py").write_text(code.replace("port=8000", f"port={port}"), encoding="utf-8")
    env = environment(
        {"SCRIPTED": "1", "EMBEDDED": "0", "OLLAMA_URL": "off", "DATA_DIR": str(tmp_path / "data")}
    ) | {"PYTHONPATH": str(ROOT)}
    with running([sys.executable, "site.py"], port, cwd=tmp_path, env=env):
        url = f"http://127.0.0.1:{port}"
        with urlopen(url, timeout=BOUND) as response:
            assert b'<a href="/chat/">' in response.read()
        body = json.dumps({"prompt": "hello", "model": "scripted/echo"}).encode()
        asked = Request(
            f"{url}/chat/api/sessions/s1/streams", body, {"Content-Type": "application/json"}, method="POST"
        )
        with urlopen(asked, timeout=BOUND) as response:
            events_url = json.load(response)["events_url"]
        with urlopen(url + events_url, timeout=BOUND) as response:
            assert b'"outcome":"complete"' in response.read()
