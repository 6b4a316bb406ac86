"""Requests that cost much, of somebody who is let in: what they cost the server, and who else has to wait."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.functional.processes import Process, serving
from tests.support.hostile import MIB, suffering
from tests.support.long_chat import TIME
from tests.support.pictures import png

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}
TABS = 32
MANY = 20_000  # messages; with five times as many it takes five times as long, and no more memory
ATTACKS = aiohttp.ClientTimeout(total=120)


def line(number: int, content: str) -> str:
    """A message of an export, as JSON."""
    return json.dumps(
        {
            "message_id": f"m{number}",
            "parent_id": f"m{number - 1}" if number else None,
            "role": "assistant" if number % 2 else "user",
            "content": content,
            "stream_id": None,
            "created_at": TIME,
        }
    )


def with_image(body: dict[str, Any], size: int) -> bytes:
    """A body with an image of so many bytes, as it is sent."""
    data = base64.b64encode(png() + bytes(size)).decode()
    return json.dumps({**body, "images": [{"data": data}]}).encode()


async def export(messages: int, content: str) -> AsyncIterator[bytes]:
    """An export with so many messages of this text, as it is sent."""
    head = {"kind": "tailrace-session", "version": 1, "session_id": "s", "title": "Long", "created_at": TIME}
    yield json.dumps({**head, "updated_at": TIME, "streams": []})[:-1].encode() + b', "messages": ['
    step = max(1, 100_000 // (len(content) + 200))
    for begin in range(0, messages, step):
        some = [line(number, content) for number in range(begin, min(messages, begin + step))]
        yield (b"," if begin else b"") + ",".join(some).encode()
        await asyncio.sleep(0)
    yield b"]}"


async def imported(http: aiohttp.ClientSession, messages: int, content: str) -> tuple[int, dict[str, Any]]:
    """Import such a session; return the status and the answer."""
    data = export(messages, content)
    async with http.post("/api/sessions/import", data=data, headers=JSON) as response:
        return response.status, await response.json()


async def status_of(answer: Any) -> int:
    """The status of a response whose body is read and thrown away."""
    async with answer as response:
        async for _ in response.content.iter_chunked(65_536):
            pass
        return int(response.status)


def unharmed(server: Process) -> None:
    """Nothing in the log tells of a failure."""
    assert "Traceback" not in server.log
    assert "request_failed" not in server.log


async def all_of(*attacks: Awaitable[Any]) -> list[Any]:
    """Carry them out at once."""
    return await asyncio.gather(*attacks)


async def test_searches_for_like_letters(tmp_path: Path) -> None:
    """Twenty megabytes of one letter are searched for many of it; lists of others and their prompts go on."""
    with serving(tmp_path) as server:
        async with aiohttp.ClientSession(server.url, timeout=ATTACKS) as http:
            for _ in range(2):
                assert (await imported(http, 20, "a" * 500_000))[0] == 201
            too_long = await status_of(http.get("/api/sessions", params={"q": "a" * 3000}))
            assert too_long == 422
            queries = ["a" * 199 + "b", " ".join("a" * 20 + letter for letter in "bcdefghi")]
            async for attempt in suffering(server.pid, server.url, "/api/sessions?limit=1"):
                async with attempt:
                    attacks = [http.get("/api/sessions", params={"q": query}) for query in queries * 8]
                    statuses = await all_of(*map(status_of, attacks))
                assert set(statuses) <= {200, 429, 503}
            assert (await status_of(http.get("/api/sessions", params={"q": "aaa"}))) == 200
        unharmed(server)


async def test_a_chat_of_many_messages(tmp_path: Path) -> None:
    """It is imported, shown, searched, exported and deleted, and nobody else notices."""
    with serving(tmp_path) as server:
        async with aiohttp.ClientSession(server.url, timeout=ATTACKS) as http:
            chat = ""
            async for attempt in suffering(server.pid, server.url, "/api/sessions?limit=1"):
                async with attempt:
                    status, answer = await imported(http, MANY, "hello " * 5)
                assert (status, answer["messages"]) == (201, MANY)
                chat = answer["session_id"]
            ways = [
                f"/sessions/{chat}",
                f"/sessions/{chat}?all=1",
                f"/sessions/{chat}/snapshot",
                f"/sessions/{chat}/snapshot?all=1",
                f"/api/sessions/{chat}",
                f"/api/sessions/{chat}/export",
                f"/api/sessions/{chat}/export?format=markdown",
            ]
            async for attempt in suffering(server.pid, server.url, "/api/sessions?limit=1"):
                async with attempt:
                    for way in ways:
                        assert (await status_of(http.get(way)), way) == (200, way)
            async with http.get(f"/api/sessions/{chat}") as response:
                assert len((await response.json())["messages"]) == MANY
            async with http.get(f"/sessions/{chat}") as response:
                assert len(await response.read()) < MIB
            async for attempt in suffering(server.pid, server.url, "/api/sessions?limit=1"):
                if await status_of(http.get(f"/api/sessions/{chat}")) == 404:  # deleted in the last attempt
                    _, answer = await imported(http, MANY, "hello " * 5)
                    chat = answer["session_id"]
                async with attempt:
                    prompt = {"prompt": "and now?", "model": "scripted/short"}
                    assert await status_of(http.post(f"/api/sessions/{chat}/streams", json=prompt)) == 201
                    assert await status_of(http.delete(f"/api/sessions/{chat}")) == 204
        unharmed(server)


async def test_many_tabs_of_a_long_chat(tmp_path: Path) -> None:
    """A browser that starts again loads them all at once, and each shows the chat."""
    with serving(tmp_path) as server:
        async with aiohttp.ClientSession(server.url, timeout=ATTACKS) as http:
            _, answer = await imported(http, 3000, "hello " * 20)
            way = f"/sessions/{answer['session_id']}"
            assert set(await all_of(*(status_of(http.get(way)) for _ in range(TABS)))) == {200}
        unharmed(server)


async def test_eight_large_files_at_once(tmp_path: Path) -> None:
    """Sixty megabytes each: some are stored, the others are told to come later."""
    with serving(tmp_path) as server:
        async with aiohttp.ClientSession(server.url, timeout=ATTACKS) as http:
            async for attempt in suffering(server.pid, server.url, "/api/sessions?limit=1"):
                async with attempt:
                    answers = await all_of(*(imported(http, 60, "x" * 1_000_000) for _ in range(8)))
                statuses = [status for status, _ in answers]
                assert set(statuses) <= {201, 429}
                assert 201 in statuses
        unharmed(server)


async def test_one_image_named_in_many_requests(tmp_path: Path) -> None:
    """Eight megabytes are named 256 times in eight kilobytes."""
    with serving(tmp_path) as server:
        async with aiohttp.ClientSession(server.url, timeout=ATTACKS) as http:
            body: dict[str, Any] = {"prompt": "look", "model": "scripted/vision"}
            sent = await asyncio.to_thread(with_image, body, 8_000_000)

            async def pieces() -> AsyncIterator[bytes]:
                for begin in range(0, len(sent), 65_536):
                    yield sent[begin : begin + 65_536]

            async with http.post("/api/sessions/s/streams", data=pieces(), headers=JSON) as response:
                assert response.status == 201
            async with http.get("/api/sessions/s") as response:
                image = (await response.json())["messages"][0]["images"][0]["image_id"]
            body["images"] = [{"image_id": image}] * 32
            async for attempt in suffering(server.pid, server.url, "/api/sessions?limit=1"):
                async with attempt:
                    attacks = [
                        http.post(f"/api/sessions/x{number}/streams", json=body) for number in range(8)
                    ]
                    assert set(await all_of(*map(status_of, attacks))) == {413}
        unharmed(server)
