"""The cluster as clients have it behind one address: a request goes to any node, and on to the next if that fails."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any, NamedTuple

import aiohttp

from tests.cluster.chaos.faults import REFUSING
from tests.cluster.harness.node import NodeProcess

ATTEMPT_SECONDS = 8.0  # for the answer of one node; a proxy in front would have such a bound, too
PAUSE = 0.1  # s between two rounds
TROUBLE = (aiohttp.ClientError, TimeoutError, OSError)


class Answer(NamedTuple):
    """An answer of the address."""

    status: int  # 0: no node answered in time
    body: dict[str, Any]
    node: NodeProcess | None  # that answered
    refusals: int  # nodes that answered 502 to 504, or not at all, before it


class Address:
    """Sends requests to the nodes in a random order, as a proxy would, until one answers."""

    def __init__(self, nodes: list[NodeProcess], dice: random.Random) -> None:
        self.nodes = nodes
        self.dice = dice
        self.refused: Counter[str] = Counter()  # requests that no node answered in the first round, by fault
        self._faults = [""]  # so far; the last one goes on until the next one
        self.asked = 0
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS, sock_connect=2)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=timeout
        )

    async def __aenter__(self) -> Address:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    def struck(self, fault: str) -> None:
        """Note that a fault begins."""
        self._faults.append(fault)

    def any(self, but: NodeProcess | None = None) -> NodeProcess:
        """Choose a node."""
        return self.dice.choice([node for node in self.nodes if node is not but])

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        key: str | None = None,
        within: float = 30.0,
        first: NodeProcess | None = None,
    ) -> Answer:
        """Send a request until a node answers it with less than 500. `key` is its Idempotency-Key."""
        loop = asyncio.get_running_loop()
        gives_up = loop.time() + within
        refusals, earlier = 0, len(self._faults) - 1
        self.asked += 1
        while True:
            nodes = self.dice.sample(self.nodes, len(self.nodes))
            if first is not None:
                nodes.sort(key=lambda node: node is not first)
            for node in nodes:
                answer = await self._attempt(node, method, path, body, key)
                if answer is not None and answer[0] < 500:
                    return Answer(*answer, node, refusals)
                refusals += 1
                if loop.time() > gives_up:
                    return Answer(0, {}, None, refusals)
            if refusals == len(self.nodes):
                self.refused[self._blamed(self._faults[earlier:])] += 1
            await asyncio.sleep(PAUSE)

    def _blamed(self, faults: list[str]) -> str:
        """Return the fault that a request was refused for: of those since it was sent, one that may do so."""
        return next((fault for fault in faults if fault in REFUSING), faults[-1])

    async def _attempt(
        self, node: NodeProcess, method: str, path: str, body: dict[str, Any] | None, key: str | None
    ) -> tuple[int, dict[str, Any]] | None:
        headers = {"Idempotency-Key": key} if key else {}
        try:
            async with self._http.request(method, node.url + path, json=body, headers=headers) as response:
                if response.status == 204:
                    return 204, {}
                return response.status, await response.json(content_type=None)
        except (*TROUBLE, ValueError):
            return None
