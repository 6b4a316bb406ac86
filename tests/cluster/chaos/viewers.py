"""Recording viewers: each follows a session over real sockets, leaves and comes back on its cursor, on any node."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

import aiohttp

from tests.cluster.chaos.address import TROUBLE, Address
from tests.cluster.chaos.records import TEXT, Seen, Transcript
from tests.cluster.harness.node import NodeProcess
from tests.support.sse import Event, read_events

SILENCE = (
    5.0  # s without an event or a heartbeat, after which a viewer connects anew; a heartbeat comes every 2
)
BACKOFF = (0.1, 0.5)  # s between two connections
STAY = (1.0, 10.0)  # s, after which a restless viewer leaves


class Viewer:
    """One viewer. `noticed` is called with each event, as soon as it is there."""

    def __init__(
        self, name: str, session: str, address: Address, noticed: Callable[[Seen], None], *, restless: bool
    ) -> None:
        self.transcript = Transcript(name, session)
        self.ended: set[str] = set()  # streams whose end it saw
        self._address = address
        self._noticed = noticed
        self._restless = restless
        self._dice = random.Random(name)
        self._cursor: str | None = None
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=SILENCE)
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), timeout=timeout)

    async def watch(self) -> None:
        """Follow the session until cancelled."""
        try:
            while True:
                node = self._address.any()
                with suppress(*TROUBLE):  # a page comes back then
                    await self._connect(node)
                await asyncio.sleep(self._dice.uniform(*BACKOFF))
        finally:
            await self._http.close()

    async def _connect(self, node: NodeProcess) -> None:
        stay = self._dice.uniform(*STAY) if self._restless else None
        headers = {"Last-Event-ID": self._cursor} if self._cursor else {}
        url = f"{node.url}/api/sessions/{self.transcript.session}/events"
        async with asyncio.timeout(stay), self._http.get(url, headers=headers) as response:
            if response.status != 200:
                return
            self.transcript.connections += 1
            async for event in read_events(response):
                if event.name == "reset":
                    await self._reset(node, event)
                    return
                self._see(event)

    def _see(self, event: Event) -> None:
        if not event.had_id or event.name not in (*TEXT, "start", "status", "end"):
            return
        self._cursor = event.id
        seen = Seen.of(event)
        self.transcript.add(seen)
        if seen.piece.name == "end":
            self.ended.add(seen.piece.stream_id)
        self._noticed(seen)

    async def _reset(self, node: NodeProcess, event: Event) -> None:
        """Load the snapshot, and go on from its cursor."""
        async with self._http.get(node.url + event.data["snapshot_url"]) as response:
            if response.status == 200:
                self.transcript.reset(event.data["reason"])
                self._cursor = (await response.json())["cursor"]


async def first_token(node: NodeProcess, events_url: str, address: Address) -> float | None:
    """Return the loop time at which the first text of an answer is at a node, and at others if its connection breaks.

    `None` if it ends without any, such as for another user's newer prompt.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=SILENCE)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        while True:
            with suppress(*TROUBLE):
                async with http.get(node.url + events_url) as response:
                    if response.status == 200:
                        async for event in read_events(response):
                            if event.name in TEXT:
                                return asyncio.get_running_loop().time()
                            if event.name == "end":
                                return None
            await asyncio.sleep(BACKOFF[0])
            node = address.any()
