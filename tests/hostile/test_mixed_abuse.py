"""One owner who asks for too much in several ways at once: together they cost no more than each of them may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.functional.processes import serving
from tests.functional.test_heavy_requests import status_of, with_image
from tests.hostile.test_owners import ANSWER, BOB, COST, SEEN, USER, sent
from tests.support import hostile
from tests.support.long_chat import archive

pytestmark = pytest.mark.slow

IMAGE = 7_900_000  # bytes
THINKING = 6  # chats whose model gets images and says nothing
LONG = 50  # chats with an answer of a quarter of a megabyte


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a model server that reads what it is sent, and lists a model, but never answers a prompt."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/models" in head:
            body = b'{"data":[{"id":"m"}]}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        else:
            while await reader.read(65_536):
                pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def asked(http: aiohttp.ClientSession, session: str, **body: Any) -> str | None:
    """Send a prompt; return the address of its events, `None` if it is refused as too much."""
    async with http.post(f"/api/sessions/{session}/streams", json=body) as response:
        assert response.status in (201, 429), await response.text()
        return None if response.status == 429 else str((await response.json())["events_url"])


async def think(http: aiohttp.ClientSession) -> None:
    """Let a model that says nothing have two large images in each of several chats."""
    for number in range(2):
        body = with_image({"prompt": "look", "model": "scripted/vision"}, IMAGE + number)
        await sent(http, "/api/sessions/pictures/streams", body)
    async with http.get("/api/sessions/pictures") as response:
        messages = (await response.json())["messages"]
    images = [{"image_id": image["image_id"]} for each in messages for image in each.get("images", ())]
    for number in range(THINKING):
        for image in images[:2]:
            await asked(http, f"think-{number}", prompt="look", model="scripted/vision", images=[image])
        await asked(http, f"think-{number}", prompt="compare them", model="openai/m")


async def talk(http: aiohttp.ClientSession) -> None:
    """Have many chats with long answers, each read to its end."""
    for number in range(LONG):
        events = await asked(http, f"talk-{number}", prompt="x" * 250_000, model="scripted/echo")
        if events is not None:
            stream = http.get(events, headers={"Accept": "text/event-stream"})
            assert await status_of(stream) in (200, 429)


async def look(http: aiohttp.ClientSession, pages: list[str]) -> None:
    """Look at pages of hostile Markdown."""
    assert await asyncio.gather(*(status_of(http.get(page)) for page in pages)) == [200, 200]


@pytest.mark.timeout(300)
async def test_all_kinds_of_abuse_at_once(silent: str, tmp_path: Path) -> None:
    """Images for a model that says nothing, many long answers and pages of hostile Markdown, all of one owner."""
    settings = {"AUTH": "proxy", "TRUSTED_PROXIES": "127.0.0.1", "OWNER_PROMPTS_PER_MINUTE": "1000"}
    with serving(tmp_path, OPENAI_URL=silent, **settings) as process:
        async with aiohttp.ClientSession(process.url, headers={USER: "alice"}) as http:
            pages = []
            for lines in ("a\n\n", "- a\n\n"):
                body = json.dumps(archive(1, lines * (ANSWER // len(lines)))).encode()
                answer = await sent(http, "/api/sessions/import", body)
                pages.append(f"/sessions/{answer['session_id']}")
            async for attempt in hostile.suffering(process.pid, process.url, SEEN, [BOB], memory=COST):
                async with attempt:
                    await asyncio.gather(think(http), talk(http), look(http, pages))
        assert "Traceback" not in process.log
        assert "request_failed" not in process.log
