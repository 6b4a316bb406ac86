"""Nodes of a cluster under measurement: real processes on a real PostgreSQL and a real Valkey, without a proxy between.

All nodes share the servers' core. Valkey and PostgreSQL run beside the load and the model, so that what a node uses is
its own. Valkey goes before both, where the user is root: else a token waits for the load, not for the log.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from app.log.shared.shared_logs import key_of
from tests.benchmarks.load.servers import usage
from tests.benchmarks.load.servers.errors import MissingPeerError
from tests.benchmarks.load.servers.pinning import go_first, pin
from tests.benchmarks.load.servers.target import NODE, Target
from tests.cluster.harness.node import NodeProcess
from tests.support.postgres import Postgres, running_postgres
from tests.support.valkey import Valkey, running_valkey

NODES = 3
SUPERSEDE_SECONDS = 2.0  # the default
_NUMBER = re.compile(rb":(\d+)\r\n")


class Site(NamedTuple):
    """What is measured side by side. Each has a database of its own, and each cluster a Valkey."""

    alone: NodeProcess  # a single server on PostgreSQL, with its logs in memory
    one: NodeProcess  # a cluster of one node
    three: Sequence[NodeProcess]
    valkey: Valkey  # of `one`

    def valkey_cpu(self) -> float:
        """Return the processor seconds that Valkey has used so far."""
        return usage.cpu_seconds(self.valkey.pid)

    def log_bytes(self, session: str) -> int:
        """Return what the shared log of a session takes in Redis."""
        reply = self.valkey.command("MEMORY", "USAGE", key_of(session), "SAMPLES", "0")
        found = _NUMBER.match(reply)
        if found is None:
            raise RuntimeError(f"no log of {session}: {reply!r}")
        return int(found[1])


def target(node: NodeProcess) -> Target:
    """Return a node as something that is asked and measured."""
    return Target(NODE, node.url, node.pid)


@asynccontextmanager
async def cluster_site(model_url: str, core: int) -> AsyncIterator[Site]:
    """Run all of it, ready. Raises `MissingPeerError` without an engine."""
    async with AsyncExitStack() as stack:
        valkey, other, postgres = _engines(stack)
        for redis in (valkey, other):
            go_first(redis.pid)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-bench-")))

        async def node(number: int, database: str, redis: Valkey | None) -> NodeProcess:
            process = NodeProcess(number, folder)
            settings = {
                "OLLAMA_URL": model_url,
                "EMBEDDED": "0",
                "MAX_STREAMS": "5000",
                "DRAIN_TIMEOUT": "0.01",
                "SUPERSEDE_TIMEOUT": f"{SUPERSEDE_SECONDS:g}",
                "DATABASE_URL": database,
            }
            if redis is not None:
                settings["REDIS_URL"] = redis.url
            process.configure(settings)
            stack.push_async_callback(process.close)
            await process.start()
            pin(process.pid, core)
            return process

        alone = await node(0, await postgres.database(), None)
        one = await node(1, await postgres.database(), valkey)
        database = await postgres.database()
        first = await node(2, database, other)  # it makes the tables
        others = await asyncio.gather(*(node(number, database, other) for number in range(3, 2 + NODES)))
        yield Site(alone, one, [first, *others], valkey)


def _engines(stack: AsyncExitStack) -> tuple[Valkey, Valkey, Postgres]:
    try:
        one, three = (stack.enter_context(running_valkey()) for _ in range(2))
        return one, three, stack.enter_context(running_postgres())
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        raise MissingPeerError(str(error)) from error
