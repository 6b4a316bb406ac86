"""Bad days of a whole server: its disk is full, or read-only, its database locked, its process killed."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.history.opening import FILE
from tests.functional.processes import Process, serving
from tests.history.disks import Disk, Quota, SmallDisk, mounted, read_only
from tests.support.client import Client
from tests.support.postgres import Postgres
from tests.support.sse import text_of
from tests.support.waiting import until_told
from tests.test_main import refused
from tests.web.stage import problem, until_event

KILLS = 3
LONG = "x" * 200_000  # a prompt for which there is no room


@pytest.fixture(params=["quota", "small disk"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A folder on a disk that can be full."""
    if request.param == "quota":
        yield Quota(tmp_path)
        return
    with mounted(tmp_path) as folder:
        yield SmallDisk(folder)


async def turned_down(
    client: Client, session_id: str, prompt: str, status: int = 503, code: str = "history_unavailable"
) -> None:
    """Post a prompt: refused with `Retry-After`, and nothing of it was registered."""
    body = {"prompt": prompt, "model": "scripted/short"}
    key = {"Idempotency-Key": f"key-{session_id}"}
    async with client.http.post(f"/api/sessions/{session_id}/streams", json=body, headers=key) as response:
        await problem(response, status, code)
        assert int(response.headers["Retry-After"]) > 0


async def accepted(client: Client, session_id: str, **body: Any) -> dict[str, Any]:
    """Post a prompt until it is accepted, as a client does that was asked to."""
    posted: dict[str, Any] = {}

    async def is_accepted() -> bool:
        posted.update(await client.post(session_id, "hello", model="scripted/short", **body))
        return bool(posted["http"] not in (503, 507))

    await until_told(is_accepted, within=30)
    return posted


async def killed(server: Process) -> None:
    """Kill the server, and see it dead."""
    server.signal(signal.SIGKILL)
    await asyncio.to_thread(server.ended)


async def test_a_full_disk(disk: Disk) -> None:
    """At a POST: 507, nothing registered. A moment after the 201: the answer goes on, and the prompt is never lost."""
    with serving(disk.folder, FREE_DISK_BYTES="1024") as server:
        async with Client(server.url) as client:
            running = await client.post("s1", "a prompt before", model="scripted/long", key="before")
            assert running["http"] == 201
            disk.fill(server)
            async with client.events(running["events_url"]) as events:
                seen = await until_event(events, "token")
                await turned_down(client, "s2", LONG, *disk.refusal)
                seen += await until_event(events, "token")
            assert text_of(seen)
            assert (await client.get("/api/sessions/s2"))["http"] == 404
            assert server.log.count(" stream_start ") == 1
        await killed(server)
        disk.make_room(server) if isinstance(disk, SmallDisk) else None
    with serving(disk.folder, FREE_DISK_BYTES="1024") as server:
        async with Client(server.url) as client:
            messages = (await client.get("/api/sessions/s1"))["messages"]
            assert messages[0]["content"] == "a prompt before"
            assert messages[1]["outcome"] == "interrupted"
            again = await client.post("s1", "a prompt before", model="scripted/long", key="before")
            assert (again["http"], again["stream_id"]) == (200, running["stream_id"])
            assert (await client.get("/api/sessions/s2"))["http"] == 404


async def test_a_disk_that_has_room_again(disk: Disk) -> None:
    """Prompts are accepted, and the answer that ended meanwhile is kept: a restart has it."""
    with serving(disk.folder, FREE_DISK_BYTES="1024") as server:
        async with Client(server.url) as client:
            running = await client.post("s1", "hello", model="scripted/short")
            disk.fill(server)
            assert (await client.read_stream(running["stream_id"]))[-1].data["outcome"] == "complete"
            await turned_down(client, "s2", LONG, *disk.refusal)
            said = (await client.get("/api/sessions/s1"))["messages"][1]["content"]
            assert said
            disk.make_room(server)
            assert (await accepted(client, "s2"))["http"] == 201
            await client.get("/api/sessions")  # returns when everything is on disk
        await killed(server)
    with serving(disk.folder, FREE_DISK_BYTES="1024") as server:
        async with Client(server.url) as client:
            answer = (await client.get("/api/sessions/s1"))["messages"][1]
            assert (answer["content"], answer["outcome"]) == (said, "complete")


async def test_a_disk_that_is_read_only(tmp_path: Path) -> None:
    """The start is refused with one message, and not a byte changes."""
    with mounted(tmp_path) as folder:
        folder.chmod(0o700)
        with serving(folder, FREE_DISK_BYTES="1024") as server:
            async with Client(server.url) as client:
                await client.ask("s1", "hello", model="scripted/short")
            server.signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.ended) == 0
        before = (folder / FILE).read_bytes()
        with read_only(folder):
            message = await asyncio.to_thread(refused, folder)
            assert "Read-only file system" in message
            assert len(message.splitlines()) == 1
            assert (folder / FILE).read_bytes() == before


async def test_a_database_that_another_process_locks(tmp_path: Path) -> None:
    """A POST is turned down and leaves nothing; running answers go on; once it is free, everything is kept."""
    with serving(tmp_path) as server:
        async with Client(server.url) as client:
            running = await client.post("s1", "hello", model="scripted/short")
            with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                assert (await client.read_stream(running["stream_id"]))[-1].data["outcome"] == "complete"
                await turned_down(client, "s2", "hello")
                connection.execute("ROLLBACK")
            assert (await client.get("/api/sessions/s2"))["http"] == 404
            assert (await accepted(client, "s2"))["http"] == 201


async def test_a_postgresql_that_stops_and_starts(postgres: Postgres, tmp_path: Path) -> None:
    """In the middle of an answer, which goes on; prompts are turned down, then accepted; nothing is lost."""
    url = await postgres.database()
    with serving(tmp_path, DATABASE_URL=url) as process:
        async with Client(process.url) as client:
            running = await client.post("s1", "hello", model="scripted/long", options={"max_tokens": 100})
            async with client.events(running["events_url"]) as events:
                seen = await until_event(events, "token")
                await asyncio.to_thread(postgres.stop)
                try:
                    await turned_down(client, "s2", "hello")
                    seen += await until_event(events, "end")
                finally:
                    await asyncio.to_thread(postgres.start)
            assert seen[-1].data["outcome"] == "complete"
            assert (await accepted(client, "s2"))["http"] == 201
            assert (await client.get("/api/sessions/s1"))["messages"][1]["content"] == text_of(seen)
        await killed(process)
    with serving(tmp_path, DATABASE_URL=url) as process:
        async with Client(process.url) as client:
            answer = (await client.get("/api/sessions/s1"))["messages"][1]
            assert (answer["content"], answer["outcome"]) == (text_of(seen), "complete")
    assert "Traceback" not in process.log


async def test_a_kill_right_behind_the_201(tmp_path: Path) -> None:
    """The prompt is there, its stream has ended, and its key names it; again and again."""
    posted: dict[str, Any] = {}
    for number in range(KILLS):
        with serving(tmp_path) as server:
            async with Client(server.url) as client:
                posted = await client.post(
                    "s1", f"prompt {number}", key=f"key-{number}", model="scripted/long"
                )
                server.signal(signal.SIGKILL)
            assert posted["http"] == 201
            await asyncio.to_thread(server.ended)
    with serving(tmp_path) as server:
        async with Client(server.url) as client:
            messages = (await client.get("/api/sessions/s1"))["messages"]
            prompts = [message["content"] for message in messages if message["role"] == "user"]
            assert prompts == [f"prompt {number}" for number in range(KILLS)]
            assert {m["outcome"] for m in messages if m["role"] == "assistant"} == {"interrupted"}
            again = await client.post("s1", prompts[-1], key=f"key-{KILLS - 1}", model="scripted/long")
            assert (again["http"], again["stream_id"]) == (200, posted["stream_id"])


async def test_a_connection_that_drops_behind_its_post(tmp_path: Path) -> None:
    """Whoever sends the prompt again under its key finds it registered once, whatever became of the first attempt."""
    with serving(tmp_path) as server:
        host, port = server.url.removeprefix("http://").split(":")
        body = json.dumps({"prompt": "hello", "model": "scripted/short"})
        for number in range(10):
            head = f"Host: localhost\r\nContent-Type: application/json\r\nIdempotency-Key: key-{number}"
            request = (
                f"POST /api/sessions/s{number}/streams HTTP/1.1\r\n{head}\r\nContent-Length: {len(body)}"
            )
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                connection.sendall(f"{request}\r\n\r\n{body}".encode())
        async with Client(server.url) as client:
            for number in range(10):
                again = await client.post(f"s{number}", "hello", key=f"key-{number}", model="scripted/short")
                assert again["http"] in (200, 201)
                assert (await client.read_stream(again["stream_id"]))[-1].data["outcome"] == "complete"
                assert len((await client.get(f"/api/sessions/s{number}"))["messages"]) == 2
