"""Nodes as processes, and what tests ask them."""

from __future__ import annotations

import asyncio
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path

import aiohttp

from tests.functional.processes import Process, serving
from tests.support.client import Client
from tests.support.sse import Event
from tests.support.waiting import found

READY_SECONDS = 60.0
RETRY_SECONDS = 0.1


class Nodes:
    """The running nodes of a cluster."""

    def __init__(self, processes: list[Process], database: str) -> None:
        self.processes = processes
        self.database = database

    @property
    def urls(self) -> list[str]:
        """Where each is reached."""
        return [process.url for process in self.processes]

    def kill(self, place: int) -> None:
        """Kill a node at once."""
        self.processes[place].signal(signal.SIGKILL)

    def pause(self, place: int) -> None:
        """Pause a node: the system still takes connections for it."""
        self.processes[place].signal(signal.SIGSTOP)

    def resume(self, place: int) -> None:
        """Let a paused node go on."""
        self.processes[place].signal(signal.SIGCONT)

    @asynccontextmanager
    async def clients(self, headers: dict[str, str] | None = None) -> AsyncIterator[list[Client]]:
        """Yield a client of each node."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(Client(url, headers)) for url in self.urls]


Starter = Callable[..., AbstractContextManager[Nodes]]


@contextmanager
def running_nodes(
    folder: Path, database: str, redis: str, *, count: int = 3, **settings: str
) -> Iterator[Nodes]:
    """Run nodes with the scripted models. `settings` are in capitals, unprefixed."""
    common = {"DATABASE_URL": database, "REDIS_URL": redis, **settings}
    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:

        def start(place: int) -> AbstractContextManager[Process]:
            own = folder / str(place)
            own.mkdir(parents=True)
            return serving(own, **common)

        # Together: each takes seconds to load. What has started is ended if another one fails.
        starting = [
            pool.submit(lambda place: stack.enter_context(start(place)), place) for place in range(count)
        ]
        try:
            processes = [future.result() for future in starting]
            list(pool.map(_wait, processes))
            yield Nodes(processes, database)
        finally:
            for future in starting:
                if future.exception() is None and future.result().exit_code is None:
                    future.result().signal(signal.SIGCONT)


def _wait(process: Process) -> None:
    def ready() -> bool | None:
        try:
            with urllib.request.urlopen(f"{process.url}/readyz", timeout=5) as response:
                return response.status == 200 or None
        except (OSError, urllib.error.URLError):
            return None

    found(ready, within=READY_SECONDS, what=f"a node is not ready, see {process.log[-2000:]}")


async def next_named(events: AsyncIterator[Event], name: str) -> Event:
    """Return the next event of this name, within some seconds."""
    async with asyncio.timeout(20):
        async for event in events:
            if event.name == name:
                return event
    raise AssertionError(f"no {name}")


async def follow(client: Client, path: str, until: Callable[[Event], bool]) -> list[Event]:
    """Return the events up to one, as a viewer gets them who comes back with its cursor whenever it is cut off."""
    found: list[Event] = []
    async with asyncio.timeout(60):
        while True:
            cursor = next((event.id for event in reversed(found) if event.had_id), None)
            with suppress(aiohttp.ClientError, AssertionError):  # refused for now: another try is due
                async with client.events(path, cursor) as events:
                    async for event in events:
                        found.append(event)
                        if until(event):
                            return found
            await asyncio.sleep(RETRY_SECONDS)
