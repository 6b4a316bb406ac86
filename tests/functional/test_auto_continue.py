"""Answers that outlive their server: `kill -9` in the middle, a restart, and the whole answer in one message."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.functional.processes import Process, serving
from tests.support.client import Client
from tests.support.postgres import Postgres
from tests.support.waiting import until_told

WORDS = " ".join(f"word{number}" for number in range(120))  # echoed in more than two seconds
ENDED = {"complete", "interrupted", "failed"}


@asynccontextmanager
async def started(folder: Path, **settings: str) -> AsyncIterator[Process]:
    """Run a server; it is waited for elsewhere than on the event loop, which takes its time on a busy machine."""
    with ExitStack() as stack:
        yield await asyncio.to_thread(stack.enter_context, serving(folder, **settings))


async def end_of(server: Process, number: signal.Signals) -> int:
    """Signal the server, and wait for its end; return the exit code."""
    server.signal(number)
    return await asyncio.to_thread(server.ended)


async def answer(client: Client, session_id: str = "s1") -> dict[str, Any]:
    """The last message of a session."""
    found: dict[str, Any] = (await client.get(f"/api/sessions/{session_id}"))["messages"][-1]
    return found


async def killed_in_the_middle(server: Process, client: Client, session_id: str = "s1") -> str:
    """Wait until something of the answer is on disk, and kill the server; return what was seen."""

    async def has_grown() -> bool:
        state = await answer(client, session_id)
        return state["outcome"] is None and (state["tokens"] or 0) > 25

    await until_told(has_grown)
    seen: str = (await answer(client, session_id))["content"]
    await end_of(server, signal.SIGKILL)
    return seen


async def crashed(folder: Path, **settings: str) -> dict[str, Any]:
    """Let a server die in the middle of an answer; return the registration."""
    async with started(folder, **settings) as server, Client(server.url) as client:
        posted = await client.post("s1", WORDS, model="scripted/echo")
        seen = await killed_in_the_middle(server, client)
    assert 0 < len(seen) < len(WORDS)
    return posted


async def ended(client: Client) -> dict[str, Any]:
    """Wait for the end of the answer, and return it."""

    async def has_ended() -> bool:
        return (await answer(client))["outcome"] in ENDED

    await until_told(has_ended)
    return await answer(client)


async def test_an_answer_goes_on_by_itself_after_a_crash(tmp_path: Path) -> None:
    """With `auto`: in the same message, from where it was, without a word twice or lost."""
    posted = await crashed(tmp_path)
    async with started(tmp_path, CONTINUE="auto") as server, Client(server.url) as client:

        async def is_taken_up() -> bool:
            return bool((await answer(client))["outcome"] != "interrupted")

        await until_told(is_taken_up)
        whole = await ended(client)
        messages = (await client.get("/api/sessions/s1"))["messages"]
    assert (whole["content"], whole["outcome"]) == (WORDS, "complete")
    assert whole["stream_id"] != posted["stream_id"]
    assert len(messages) == 2
    assert "answer_taken_up" in server.log


async def test_an_answer_waits_to_be_continued(tmp_path: Path) -> None:
    """With `ask`: a POST goes on with it, and the answer is as whole."""
    await crashed(tmp_path)
    async with started(tmp_path) as server, Client(server.url) as client:
        before = await answer(client)
        assert before["outcome"] == "interrupted"
        posted = await client.register("s1", **{"continue": before["message_id"]})
        assert posted["http"] == 201
        await client.read_stream(posted["stream_id"])
        whole = await answer(client)
    assert (whole["content"], whole["outcome"]) == (WORDS, "complete")
    assert whole["message_id"] == before["message_id"]


async def test_what_a_shutdown_interrupted_goes_on_after_it(tmp_path: Path) -> None:
    """A deploy in the middle of an answer costs a pause, and no more."""
    async with started(tmp_path, DRAIN_TIMEOUT="0.1") as server, Client(server.url) as client:
        await client.post("s1", WORDS, model="scripted/echo")

        async def has_grown() -> bool:
            return bool((await answer(client))["content"] != "")

        await until_told(has_grown)
        assert await end_of(server, signal.SIGTERM) == 0
    async with started(tmp_path, CONTINUE="auto") as server, Client(server.url) as client:

        async def is_whole() -> bool:
            return bool((await answer(client))["outcome"] == "complete")

        await until_told(is_whole)
        assert (await answer(client))["content"] == WORDS


async def test_an_answer_is_not_taken_up_for_ever(tmp_path: Path) -> None:
    """After three attempts that ended with their server, it is left alone: it may be what ends it."""
    await crashed(tmp_path)
    for _ in range(3):
        async with started(tmp_path, CONTINUE="auto") as server, Client(server.url) as client:

            async def is_running() -> bool:
                return bool((await answer(client))["outcome"] is None)

            await until_told(is_running)
            await end_of(server, signal.SIGKILL)
    async with started(tmp_path, CONTINUE="auto") as server, Client(server.url) as client:
        await client.ask("s2", "hello", model="scripted/short")
        assert (await answer(client))["outcome"] == "interrupted"
    assert "answer_taken_up" not in server.log


async def test_a_second_server_on_a_database_waits_for_the_first(tmp_path: Path, postgres: Postgres) -> None:
    """After a crash the next goes on with the answer; one more starts when that has ended, and writes nothing anew."""
    url = await postgres.database()
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
    await crashed(folders[0], DATABASE_URL=url)
    shared = {"DATABASE_URL": url, "CONTINUE": "auto"}
    async with started(folders[1], **shared) as one, Client(one.url) as client:

        async def is_whole() -> bool:
            return bool((await answer(client))["outcome"] == "complete")

        await until_told(is_whole)
        assert (await answer(client))["content"] == WORDS
        next_one = started(folders[2], **shared)
        starting = asyncio.create_task(next_one.__aenter__())
        done, _ = await asyncio.wait({starting}, timeout=2.0)
        ended = await end_of(one, signal.SIGTERM)
        two = await starting
        await next_one.__aexit__(None, None, None)
    assert (done, ended) == (set(), 0)
    assert (one.log + two.log).count("stream_start") == 1
