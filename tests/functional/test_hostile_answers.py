"""A server as a process, and answers that would stop it: others are answered all the while, and SIGTERM ends it."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from app.markdown.code.languages import LANGUAGES
from tests.functional.processes import Process, serving
from tests.markdown.corpus.hostile import HEAVY
from tests.markdown.rendered import document
from tests.support.sse import read_events

PING = 0.02  # s between two pings
LATEST = (
    1.0  # s that a ping may take at the worst on a busy machine; it would be for ever if a match holds on
)
SHOWN = 8_000  # characters of each hostile piece: as many as the loop renders
STREAMED = 1_500
WORDS = 20  # of a piece that is streamed, at the most: the scripted model takes its time for each
ONE_NAME = list({id(language): name for name, language in LANGUAGES.items()}.values())
OPENERS = ('"', "'", "(", "$(", "/*", "<<A\n", "[\n", "\\", "a ", "{-", "`", '"\\', "#", "x=", "\n ")


def listings(length: int) -> str:
    """Return an answer with hostile listings of every language, some of them longer than the loop colours."""
    parts: list[str] = []
    for number, language in enumerate(ONE_NAME):
        opener = OPENERS[number % len(OPENERS)]
        size = 2 * length if number % 5 == 0 else length
        for text in ('"' + "\\" * 48, (opener * size)[:size]):
            if length > STREAMED or len(text.split()) < WORDS:
                parts += [f"~~~~~{language}", text, "~~~~~", ""]
    return "\n".join(parts)


def markdown(length: int) -> str:
    """Return an answer of hostile Markdown."""
    more = ("[a]:\n\"x\n> - 'y\n", "<details>x\n\n", "1. `.\n", "$x^", "http://[[a]: <---<sub>")
    heavy = [text[:length] for text in HEAVY.values()]
    heavy += [(piece * length)[:length] for piece in more]
    heavy = [text for text in heavy if length > STREAMED or len(text.split()) < WORDS]
    heavy += ["```" + " " * length, "> [x](http://a" + "\u0301\u0316" * (length // 2) + ")"]
    return "\n\n# Next\n\n".join(heavy).encode("utf-8", "replace").decode()


ANSWERS = {"listings": listings, "Markdown": markdown}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The server. At the end, SIGTERM ends it as if nothing had been."""
    with serving(tmp_path_factory.mktemp("hostile"), MAX_PROMPT_BYTES="4000000") as process:
        yield process
        process.signal(signal.SIGTERM)
        assert process.ended() == 0


@asynccontextmanager
async def pinged(server: Process) -> AsyncIterator[aiohttp.ClientSession]:
    """Ask for something else all the while, on a connection of its own; each answer has to come in time."""
    times: list[float] = []

    async def ping(http: aiohttp.ClientSession) -> None:
        while True:
            began = time.monotonic()
            async with http.get(f"{server.url}/healthz") as response:
                assert response.status == 200
            times.append(time.monotonic() - began)
            await asyncio.sleep(PING)

    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        aiohttp.ClientSession(timeout=timeout) as other,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        pinging = asyncio.create_task(ping(other))
        try:
            yield http
        finally:
            pinging.cancel()
            await asyncio.wait({pinging})
    assert len(times) > 5
    print(f"{len(times)} pings, the slowest took {max(times) * 1000:.0f} ms")
    assert max(times) < LATEST


def sent(data: dict[str, Any]) -> dict[str, Any]:
    """Return a large body as arguments of a request."""
    return {"data": io.BytesIO(json.dumps(data).encode()), "headers": {"Content-Type": "application/json"}}


def archive(name: str, answer: str) -> dict[str, Any]:
    """Return an exported chat that has this answer."""
    now = "2026-01-01T00:00:00Z"
    message = {"model": "scripted/echo", "created_at": now, "stream_id": None}
    return {
        "kind": "tailrace-session",
        "version": 1,
        "session_id": f"imported-{name}",
        "title": "a" + "\u0301\u0316" * 99,
        "created_at": now,
        "updated_at": now,
        "messages": [
            {**message, "message_id": f"p-{name}", "parent_id": None, "role": "user", "content": "?"},
            {
                **message,
                "message_id": f"a-{name}",
                "parent_id": f"p-{name}",
                "role": "assistant",
                "content": answer,
            },
        ],
        "streams": [],
    }


@pytest.mark.parametrize("name", ANSWERS)
async def test_imported_shown_and_exported(server: Process, name: str) -> None:
    """As a page with and without JavaScript, as a snapshot, as a file."""
    async with pinged(server) as http:
        answer = ANSWERS[name](SHOWN)
        data = archive(name, answer)
        async with http.post(f"{server.url}/api/sessions/import", **sent(data)) as response:
            assert response.status == 201, await response.text()
            session_id = (await response.json())["session_id"]
        for path in (f"/sessions/{session_id}", f"/sessions/{session_id}/snapshot"):
            async with http.get(f"{server.url}{path}") as response:
                assert response.status == 200
                page = await response.text()
                assert "<script" not in page.partition("<main")[2].partition("</main")[0].replace(
                    "<script type", ""
                )
        exported = ""
        for kind in ("markdown", "json"):
            async with http.get(f"{server.url}/api/sessions/{session_id}/export?format={kind}") as response:
                exported = await response.text()
        assert json.loads(exported)["messages"][1]["content"] == answer


@pytest.mark.parametrize("name", ANSWERS)
async def test_streamed(server: Process, name: str) -> None:
    """To a page with JavaScript, to one without it, and to a client of the API."""
    answer = ANSWERS[name](STREAMED)
    expected = len((await asyncio.to_thread(document, answer)).blocks)
    session_id = f"streamed-{name}"
    async with pinged(server) as http:
        sessions = f"{server.url}/api/sessions/{session_id}"
        async with http.post(
            f"{sessions}/streams", json={"prompt": "hello", "model": "scripted/echo"}
        ) as response:
            assert response.status == 201, await response.text()
        plain = {"Cookie": "tailrace_plain=1"}
        body = {"prompt": answer, "model": "scripted/echo"}
        async with http.get(f"{server.url}/events?watch={session_id}:") as page:
            async with http.post(f"{sessions}/streams", **sent(body)) as response:
                assert response.status == 201, await response.text()
                stream = await response.json()
            async with http.get(f"{server.url}/sessions/{session_id}", headers=plain) as without:
                shown = await without.text()
            async with http.get(f"{server.url}{stream['events_url']}") as events:
                assert "event: end" in await events.text()
            assert shown.rstrip().endswith("</html>")
            # Slow blocks are rendered in threads, and may come after the `end`.
            blocks, ended = set[int](), False
            async for event in read_events(page):
                if event.data.get("stream_id") != stream["stream_id"]:
                    continue
                if event.name == "block":
                    blocks.add(event.data["index"])
                ended = ended or event.name == "end"
                if ended and len(blocks) == expected:
                    break
            assert blocks == set(range(expected))
