"""Who is let in and asks for too much: many pages at once, or responses that are never read. Others hardly notice."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.functional.processes import Process, serving
from tests.functional.test_heavy_requests import imported, status_of, with_image
from tests.support import hostile
from tests.support.hostile import MIB
from tests.support.long_chat import archive

pytestmark = pytest.mark.slow

USER = "X-Forwarded-User"
ALICE, BOB = f"{USER}: alice", f"{USER}: bob"
SEEN = "/api/sessions?limit=1"  # what bob asks for
FLOOD_SECONDS = 3.0
CONNECTIONS = 48
EACH = 30  # connections for each kind of response that nobody reads
COST = 128 * MIB  # that one owner may cost, at most
MARKDOWN = "# A title\n\nSome *text* with `code`, and a [link](http://a.example).\n\n- one\n- two\n\n" * 12
WORDS = "hello " * 350
ANSWER = 1_900_000  # characters


class Chats(NamedTuple):
    """The server, and the ids of alice's chats."""

    process: Process
    usual: str  # whose page has as many messages as one may have
    large: str  # as much text as fits on one page
    long: str  # in pieces
    pictures: str
    image: str
    stream: str  # with events of half a megabyte


async def sent(http: aiohttp.ClientSession, path: str, body: bytes) -> dict[str, Any]:
    """Post a body of JSON, which may be large; return the answer."""
    headers = {"Content-Type": "application/json"}
    async with http.post(path, data=BytesIO(body), headers=headers) as response:
        assert response.status == 201, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


async def filled(url: str) -> list[str]:
    """Let alice have her chats; return their ids, and that of an image."""
    async with aiohttp.ClientSession(url, headers={USER: "alice"}) as http:
        ids = []
        for exchanges, answer in ((60, MARKDOWN), (400, WORDS * 2)):
            body = json.dumps(archive(exchanges, answer)).encode()
            ids.append((await sent(http, "/api/sessions/import", body))["session_id"])
        ids.append((await imported(http, 3000, WORDS))[1]["session_id"])
        for number in range(3):
            body = with_image({"prompt": "look", "model": "scripted/vision"}, 7_900_000 + number)
            await sent(http, "/api/sessions/pictures/streams", body)
        async with http.get(f"/sessions/{ids[1]}/snapshot?all=1") as response:
            await response.read()  # from now on the server has its cache of blocks, which is nobody's
        async with http.get("/api/sessions/pictures") as response:
            messages = (await response.json())["messages"]
        image = next(each["images"][0]["image_id"] for each in messages if each.get("images"))
        body = json.dumps({"prompt": '"' * 250_000, "model": "scripted/echo"}).encode()
        stream = (await sent(http, "/api/sessions/quotes/streams", body))["stream_id"]
        async with http.get(
            f"/api/streams/{stream}/events", headers={"Accept": "text/event-stream"}
        ) as events:
            assert b"event: end" in await events.read()
    return [*ids, "pictures", image, stream]


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chats]:
    """A server for whoever a proxy lets in, on which alice has much."""
    settings = {"AUTH": "proxy", "TRUSTED_PROXIES": "127.0.0.1", "OWNER_PROMPTS_PER_MINUTE": "1000"}
    with serving(tmp_path_factory.mktemp("owners"), **settings) as process:
        yield Chats(process, *asyncio.run(filled(process.url)))
        assert "Traceback" not in process.log
        assert "request_failed" not in process.log


async def ask_on(url: str, path: str, until: float) -> list[int]:
    """Ask for a page again and again on one connection, up to a loop time; return the statuses."""
    statuses = []
    async with aiohttp.ClientSession(url, headers={USER: "alice"}) as http:
        while asyncio.get_running_loop().time() < until:
            async with http.get(path) as response:
                await response.read()
            statuses.append(response.status)
    return statuses


@pytest.mark.parametrize("path", ["/sessions/{usual}", "/sessions/{large}/snapshot?all=1", "/"])
async def test_a_flood_of_requests(chats: Chats, path: str) -> None:
    """One owner's pages are made in turn, so that somebody else's list comes at once."""
    url = chats.process.url
    async for attempt in hostile.suffering(chats.process.pid, url, SEEN, [BOB], memory=COST):
        async with attempt:
            until = asyncio.get_running_loop().time() + FLOOD_SECONDS
            asked = path.format(**chats._asdict())
            found = await asyncio.gather(*(ask_on(url, asked, until) for _ in range(CONNECTIONS)))
        seen = {status for statuses in found for status in statuses}
        assert 200 in seen
        assert seen <= {200, 429}  # whose turn does not come in time on a busy machine


@pytest.mark.parametrize("lines", ["a\n\n", "- a\n\n", "a\n=\nb\n-\n"])
async def test_pages_of_hostile_markdown(chats: Chats, lines: str) -> None:
    """Two pages at once, each with an answer of millions of short lines, take less than 20 times their size."""
    url = chats.process.url
    answer = lines * (ANSWER // len(lines))
    async with aiohttp.ClientSession(url, headers={USER: "alice"}) as http:
        pages = []
        for title in ("one\n\n", "another\n\n"):
            body = json.dumps(archive(1, title + answer)).encode()
            pages.append(f"/sessions/{(await sent(http, '/api/sessions/import', body))['session_id']}")
        async for attempt in hostile.suffering(
            chats.process.pid, url, SEEN, [BOB], memory=20 * len(pages) * len(answer)
        ):
            async with attempt:
                assert await asyncio.gather(*(status_of(http.get(page)) for page in pages)) == [200, 200]


async def change_on(url: str, method: str, path: str, body: dict[str, Any] | None, until: float) -> list[int]:
    """Change something again and again on one connection, up to a loop time; return the statuses."""
    statuses = []
    async with aiohttp.ClientSession(url, headers={USER: "alice"}) as http:
        while asyncio.get_running_loop().time() < until:
            async with http.request(method, path, json=body) as response:
                await response.read()
            statuses.append(response.status)
    return statuses


CHANGES: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "renaming": ("PATCH", "/api/sessions/{usual}", {"title": "Another title"}),
    "options": ("PATCH", "/api/sessions/{usual}", {"options": {"temperature": 0.5}}),
    "deleting": ("DELETE", "/api/sessions/nothing", None),
    "restoring": ("POST", "/api/sessions/nothing/restore", None),
    "stopping": ("DELETE", "/api/streams/{stream}", None),
    "stopping nothing": ("DELETE", "/api/sessions/{usual}/stream", None),
}


@pytest.mark.parametrize("way", CHANGES)
async def test_a_flood_of_changes(chats: Chats, way: str) -> None:
    """One owner's changes are made in turn, so that somebody else's list comes at once."""
    method, path, body = CHANGES[way]
    url = chats.process.url
    async for attempt in hostile.suffering(chats.process.pid, url, SEEN, [BOB], memory=COST):
        async with attempt:
            until = asyncio.get_running_loop().time() + FLOOD_SECONDS
            asked = path.format(**chats._asdict())
            found = await asyncio.gather(
                *(change_on(url, method, asked, body, until) for _ in range(CONNECTIONS))
            )
        seen = {status for statuses in found for status in statuses}
        assert seen & {200, 204, 404, 409}, seen
        assert seen <= {200, 204, 404, 409, 429}


@contextmanager
def unread(url: str) -> Iterator[socket.socket]:
    """A connection that takes as little as can be."""
    parts = urlsplit(url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(hostile.PATIENCE)
        connection.connect((parts.hostname, parts.port))
        yield connection


WAYS = {
    "image": "/api/images/{image}",
    "export of images": "/api/sessions/{pictures}/export",
    "export": "/api/sessions/{large}/export",
    "long export": "/api/sessions/{long}/export",
    "markdown": "/api/sessions/{long}/export?format=markdown",
    "session": "/api/sessions/{large}",
    "page": "/sessions/{large}?all=1",
    "snapshot": "/sessions/{large}/snapshot?all=1",
    "openapi": "/api/openapi.json",
    "events": "/api/streams/{stream}/events",
}
MANY = {"events": 120}  # connections


@pytest.mark.parametrize("way", [*WAYS, "all"])
async def test_responses_that_nobody_reads(chats: Chats, way: str) -> None:
    """However many are asked for, they cost a bounded part of the memory."""
    paths = [WAYS[way]] * MANY.get(way, EACH) if way in WAYS else [*WAYS.values()] * (EACH // 5)
    url = chats.process.url
    async for attempt in hostile.suffering(chats.process.pid, url, SEEN, [BOB], memory=COST):
        async with attempt:
            with ExitStack() as stack:
                for path in paths:
                    connection = stack.enter_context(unread(url))
                    connection.sendall(hostile.request("GET", path.format(**chats._asdict()), ALICE))
                await asyncio.sleep(FLOOD_SECONDS)
