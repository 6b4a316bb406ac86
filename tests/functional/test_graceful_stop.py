"""A graceful stop: nothing new, everything said is kept, everybody is told, and it takes no longer than it may."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from app.history.opening import FILE
from tests.functional.processes import Process, serving
from tests.functional.test_signals import end_of, rest
from tests.support.client import Client
from tests.support.lag import LAGS, lag
from tests.support.raw_viewer import ROOM, RawViewer
from tests.support.sse import text_of
from tests.support.waiting import until
from tests.web.stage import problem, until_event

VIEWERS = 20
DRAIN = 0.5  # seconds, where a test waits for its end
PROMISED = 2.0  # beyond that the process is gone


async def test_a_server_that_stops_takes_nothing_new(tmp_path: Path) -> None:
    """Not ready, and each POST a 503 that says when to try again; what is there can still be read."""
    with serving(tmp_path, DRAIN_TIMEOUT="600") as server:
        async with Client(server.url) as client:
            registered = await client.post("s1", "hello", model="scripted/hang-middle")
            server.signal(signal.SIGTERM)
            await until(lambda: "Finishing answers" in server.log)
            for path in ("/api/sessions/s1/streams", "/api/sessions/s2/streams"):
                async with client.http.post(path, json={"prompt": "hello"}) as response:
                    await problem(response, 503, "draining")
                    assert int(response.headers["Retry-After"]) > 0
            async with client.http.get("/readyz") as response:
                await problem(response, 503, "draining")
            assert (await client.get("/api/sessions/s1"))["running"] == registered["stream_id"]
            assert (await client.get("/healthz"))["http"] == 200
            await client.stop(registered["stream_id"])
        assert await end_of(server) == 0
        assert "Traceback" not in server.log


async def test_what_is_cut_off_is_kept_to_the_letter(tmp_path: Path) -> None:
    """By the bound or by a second signal: the history has all that a viewer saw, with no need of a recovery."""
    for number, (bound, signals) in enumerate({"0.2": 1, "600": 2}.items()):
        session_id = f"s{number}"
        with serving(tmp_path, DRAIN_TIMEOUT=bound) as server:
            async with Client(server.url) as client:
                registered = await client.post(session_id, "hello", model="scripted/long")
                async with client.events(registered["events_url"]) as events:
                    seen = await until_event(events, "token")
                    server.signal(signal.SIGTERM)
                    await until(lambda: "Finishing answers" in server.log)
                    if signals == 2:
                        server.signal(signal.SIGTERM)
                    seen += await rest(events)
            assert await end_of(server) == 0
            assert "Traceback" not in server.log
        with serving(tmp_path) as server:
            async with Client(server.url) as client:
                _, answer = (await client.get(f"/api/sessions/{session_id}"))["messages"]
            assert (answer["content"], answer["outcome"]) == (text_of(seen), "interrupted")
            assert "history_recovered" not in server.log


async def test_viewers_are_told_when_to_come_back(tmp_path: Path) -> None:
    """Behind the last event, each another moment; then the response ends as it should."""
    with serving(tmp_path, DRAIN_TIMEOUT="0.1") as server:
        async with Client(server.url) as client:
            registered = await client.post("s1", "hello", model="scripted/hang-middle")
        paths = (registered["events_url"], "/api/sessions/s1/events")
        ready = [asyncio.Event() for _ in range(VIEWERS)]

        async def watch(number: int) -> list[bytes]:
            blocks = []
            async with RawViewer(server.url, paths[number % 2]) as response:
                while (block := await response.block()) is not None:
                    blocks.append(block)
                    ready[number].set()
            return blocks

        watching = [asyncio.create_task(watch(number)) for number in range(VIEWERS)]
        await asyncio.gather(*(event.wait() for event in ready))
        server.signal(signal.SIGTERM)
        seen = await asyncio.gather(*watching)
        assert await end_of(server) == 0
    assert all(b"event: end" in blocks[-2] for blocks in seen)
    moments = [int(blocks[-1].removeprefix(b"retry: ")) for blocks in seen]
    assert all(1000 <= moment < 5000 for moment in moments)
    assert len(set(moments)) > VIEWERS / 2


async def test_whatever_hangs_the_end_comes_in_time(tmp_path: Path) -> None:
    """A model that does not hear, one that does not close, a viewer that does not read, a database that is locked."""
    with serving(tmp_path, DRAIN_TIMEOUT=str(DRAIN), MAX_ANSWER_BYTES=str(2**30)) as server:
        async with Client(server.url) as client:
            posted = [
                await client.post(f"s{number}", "hello", model=f"scripted/{model}")
                for number, model in enumerate(("deaf", "stubborn", "hang", "long"))
            ]
            async with RawViewer(server.url, posted[3]["events_url"], room=ROOM) as silent:
                await silent.read(1)
                async with client.events(posted[3]["events_url"]) as events:
                    await until_event(events, "token")
                await ends_in_time(server, tmp_path)
        assert "Traceback" not in server.log
    with serving(tmp_path) as server:
        async with Client(server.url) as client:
            for number in range(4):
                _, answer = (await client.get(f"/api/sessions/s{number}"))["messages"]
                assert answer["outcome"] == "interrupted"


async def ends_in_time(server: Process, folder: Path) -> None:
    """Ask it to stop while somebody else holds its database, and take the time."""
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        async with lag() as worst:
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            assert await end_of(server) == 0
            took = time.monotonic() - began
        assert took < DRAIN + PROMISED + LAGS * worst[0]
