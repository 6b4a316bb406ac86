"""A restart under a thousand viewers: all of them come back in the same instant, and all are served."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
import pytest

from app.history.write_queue.read_batcher import LANES, TOGETHER
from tests.functional.processes import Process, serving
from tests.support.client import Client
from tests.support.counted_reads import CountedReads
from tests.support.raw_viewer import RawViewer
from tests.support.server import serve
from tests.support.waiting import until

SESSIONS = 25
FEW, CROWD = 100, 1000
KIB_EACH = 64  # that a viewer may take at most, its connection and all
SLOWER = 3  # times the processor time that one of a crowd may take, against one of a few


@pytest.fixture(autouse=True)
def files() -> Iterator[None]:
    """Let this process and its children open as many files as the crowd takes."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(before[1], 8192)), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def path(number: int) -> str:
    """Where one of the crowd looks."""
    return f"/api/sessions/s{number % SESSIONS}/events"


async def prepare(client: Client) -> list[bytes]:
    """Make the sessions; return a cursor into each of their logs."""
    cursors = []
    for number in range(SESSIONS):
        events = await client.ask(f"s{number}", "hello", model="scripted/short", options={"max_tokens": 1})
        cursors.append((events[-1].id or "").encode())
    return cursors


async def come_back(url: str, number: int, cursor: bytes, client: Client, stack: AsyncExitStack) -> RawViewer:
    """Do as a page does: a cursor of the log before the restart, the snapshot, and on from there."""
    async with RawViewer(url, path(number), cursor=cursor) as response:
        assert await response.status() == 200, response.head
        await response.block()  # the preamble
        assert b"event: reset" in (await response.block() or b"")
    snapshot = await client.get(f"/api/sessions/s{number % SESSIONS}")
    assert len(snapshot["messages"]) >= 2
    viewer = RawViewer(url, path(number), cursor=snapshot["cursor"].encode())
    return await stack.enter_async_context(viewer)


@asynccontextmanager
async def crowd(url: str, size: int, cursors: list[bytes], client: Client) -> AsyncIterator[list[RawViewer]]:
    """So many viewers that came back at once, each looking on."""
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(
            *(come_back(url, number, cursors[number % SESSIONS], client, stack) for number in range(size))
        )


async def sees_the_end(viewer: RawViewer) -> None:
    """Look on until an answer ends."""
    while (frame := await viewer.frame()) is not None:
        if frame.name == b"end":
            return
    raise AssertionError("the response ended before the answer")


def spent(server: Process) -> float:
    """Seconds of processor time that the server has used."""
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)


async def test_a_thousand_that_come_back_at_once_are_served(tmp_path: Path) -> None:
    """Each gets its snapshot and what comes after it; one of many costs hardly more than one of few, and little."""
    with serving(tmp_path) as server:
        async with Client(server.url) as client:
            cursors = await prepare(client)
        server.signal(signal.SIGKILL)
        await asyncio.to_thread(server.ended)
    with serving(tmp_path) as server:
        async with Client(server.url) as client:
            cost: dict[int, float] = {}
            memory = 0
            for size in (FEW, CROWD):
                before, resident = spent(server), psutil.Process(server.pid).memory_info().rss
                async with crowd(server.url, size, cursors, client) as viewers:
                    cost[size] = (spent(server) - before) / size
                    memory = psutil.Process(server.pid).memory_info().rss - resident
                    for number in range(SESSIONS):
                        asked = await client.post(f"s{number}", "more", model="scripted/short")
                        assert asked["http"] == 201
                    await asyncio.gather(*map(sees_the_end, viewers))
            assert cost[CROWD] < SLOWER * cost[FEW]
            assert memory < CROWD * KIB_EACH * 1024
        assert "Traceback" not in server.log


async def test_they_do_not_stampede_on_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask, each session is read once, and they go to the database together."""
    async with serve(tmp_path) as live:
        await prepare(live.client)
    counted = CountedReads(monkeypatch)
    async with serve(tmp_path) as live, AsyncExitStack() as stack:
        counted.free.clear()
        counted.asked = counted.transactions = 0
        coming = [
            asyncio.create_task(stack.enter_async_context(RawViewer(live.url, path(number))))
            for number in range(CROWD)
        ]
        await until(lambda: counted.asked == CROWD, within=60)
        assert counted.transactions <= LANES
        counted.free.set()
        viewers = await asyncio.gather(*coming)
        assert {await viewer.status() for viewer in viewers} == {200}
        assert counted.transactions <= LANES + 1 + SESSIONS / TOGETHER
        await until(lambda: live.registry.statistics().viewers == CROWD, within=60)
