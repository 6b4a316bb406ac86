"""The faults: what happens to a node or an engine, for how long, and how it comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

from tests.cluster.harness.node import NodeProcess
from tests.cluster.harness.running import RunningCluster
from tests.doubles.tcp_proxy import TcpProxy


class Struck(NamedTuple):
    """What a fault has hit: one node, or all of them."""

    node: NodeProcess | None


Fault = Callable[[RunningCluster, random.Random, float], AbstractAsyncContextManager[Struck]]


@asynccontextmanager
async def kill(cluster: RunningCluster, dice: random.Random, most: float) -> AsyncIterator[Struck]:
    """`kill -9` of a node, which is started again after 1 to `most` seconds."""
    node = dice.choice(cluster.nodes)
    await node.kill()
    yield Struck(node)
    await asyncio.sleep(dice.uniform(1, most))
    await node.start()


@asynccontextmanager
async def pause(cluster: RunningCluster, dice: random.Random, most: float) -> AsyncIterator[Struck]:
    """SIGSTOP of a node for 1 to `most` seconds."""
    node = dice.choice(cluster.nodes)
    node.pause()
    try:
        yield Struck(node)
        await asyncio.sleep(dice.uniform(1, most))
    finally:
        node.resume()


def cut(*, redis: bool, postgres: bool) -> Fault:
    """Cut a node off from engines for 1 to `most` seconds."""

    @asynccontextmanager
    async def fault(cluster: RunningCluster, dice: random.Random, most: float) -> AsyncIterator[Struck]:
        node = dice.choice(cluster.nodes)
        node.cut_off(redis=redis, postgres=postgres)
        try:
            yield Struck(node)
            await asyncio.sleep(dice.uniform(1, most))
        finally:
            node.mend()

    return fault


@asynccontextmanager
async def isolate(cluster: RunningCluster, dice: random.Random, most: float) -> AsyncIterator[Struck]:
    """Cut a node off from the other nodes for 1 to `most` seconds. All of them have both engines, and clients."""
    node = dice.choice(cluster.nodes)
    await cluster.isolate(node)
    try:
        yield Struck(node)
        await asyncio.sleep(dice.uniform(1, most))
    finally:
        cluster.rejoin(node)


@asynccontextmanager
async def kill_valkey(cluster: RunningCluster, dice: random.Random, most: float) -> AsyncIterator[Struck]:
    """`kill -9` of Valkey, which may lose its last second, for up to a third of `most` seconds."""
    await asyncio.to_thread(cluster.valkey.kill)
    await asyncio.sleep(dice.uniform(0, most / 3))
    await asyncio.to_thread(cluster.valkey.start)
    yield Struck(None)


@asynccontextmanager
async def promote(cluster: RunningCluster, dice: random.Random, most: float) -> AsyncIterator[Struck]:
    """`kill -9` of Valkey; a replica without its last second takes its place within a tenth of `most` seconds."""
    async with TcpProxy(cluster.valkey.port).serving() as copying:
        replica = await cluster.replica(copying.port)
        copying.freeze()
        await asyncio.sleep(dice.uniform(0, 1))
        copying.cut()
        await asyncio.to_thread(cluster.valkey.kill)
    await asyncio.sleep(dice.uniform(0, most / 10))
    await asyncio.to_thread(replica.promote)
    cluster.switch(replica)
    yield Struck(None)


@asynccontextmanager
async def rolling_restart(
    cluster: RunningCluster, dice: random.Random, _most: float
) -> AsyncIterator[Struck]:
    """SIGTERM and a new start of one node after the other."""
    for number, node in enumerate(dice.sample(cluster.nodes, len(cluster.nodes))):
        node.leave()
        if not number:
            yield Struck(node)
        await node.ended()
        await node.start()


FAULTS: dict[str, Fault] = {
    "kill -9": kill,
    "SIGSTOP": pause,
    "cut node-Redis": cut(redis=True, postgres=False),
    "cut node-PostgreSQL": cut(redis=False, postgres=True),
    "cut both": cut(redis=True, postgres=True),
    "cut node-nodes": isolate,
    "kill -9 of Valkey": kill_valkey,
    "promoted replica": promote,
    "rolling restart": rolling_restart,
}
# While one of these lasts, a request may be refused by all nodes: what it needs is away, or paused for longer than a
# client asks again. A node that is dead, leaves, or does not reach the others is no reason to refuse anything.
REFUSING = frozenset(FAULTS) - {"kill -9", "cut node-nodes", "rolling restart"}
# After these a node's sessions move to others: the time to the newest prompt's first token is that of a takeover.
TAKEOVERS = ("kill -9", "SIGSTOP", "cut node-PostgreSQL", "cut both", "cut node-nodes", "rolling restart")
