"""Which cluster a Redis database belongs to: two on one would mix up the logs of sessions with the same id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Protocol

from app.chat.errors import HistoryUnavailable
from app.chat.ports import Logger
from app.cluster.cluster import ANOTHER_CLUSTERS_REDIS

CLUSTER_KEY = "tailrace:cluster"  # of the cluster whose logs a Redis database holds
CLAIM_SECONDS = 2.0  # between two claims: Redis may have lost the key, and another cluster may start


class RedisTaken(Exception):
    """The database belongs to another cluster. The message says what to do."""


class Asks(Protocol):
    """Sends commands to Redis; see `SharedLogs.ask`."""

    def ask(self, *words: str | bytes | int) -> Awaitable[object]:
        """Send a command and return its reply."""
        ...


class RedisClaim:
    """Says in Redis that it is `cluster`'s, again and again: after Redis was emptied nothing else would say it."""

    def __init__(self, logs: Asks, cluster: str, logger: Logger) -> None:
        self.trouble = ""  # as a sentence without a full stop
        self._logs = logs
        self._cluster = cluster
        self._logger = logger

    def __repr__(self) -> str:
        return f"<RedisClaim {self.trouble}>"

    async def start(self) -> None:
        """Claim the database. Raises `RedisTaken`, `HistoryUnavailable`."""
        if not await self._claim():
            raise RedisTaken(
                "TAILRACE_REDIS_URL: this Redis database belongs to another cluster, on another PostgreSQL database. "
                f"Use another one, such as …/1. If that cluster is gone: DEL {CLUSTER_KEY}"
            )

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Claim it again until the block ends."""
        task = asyncio.create_task(self._keep(), name="claim Redis")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(CLAIM_SECONDS)
            await self.again()

    async def again(self) -> None:
        """Claim it once more. Never raises: what Redis refuses is told elsewhere."""
        try:
            is_ours = await self._claim()
        except HistoryUnavailable:
            return
        except Exception as error:  # noqa: BLE001 - such as while it is loading or out of memory
            self._logger.debug("redis_not_claimed", error=str(error) or type(error).__name__)
            return
        if not is_ours and not self.trouble:
            self._logger.error(
                "redis_of_another_cluster",
                advice="it was emptied, and another cluster has started on it: give one of the two another database",
            )
        self.trouble = "" if is_ours else ANOTHER_CLUSTERS_REDIS

    async def _claim(self) -> bool:
        """Return whether the database is this cluster's, after making it so if it is nobody's."""
        found = await self._logs.ask("GET", CLUSTER_KEY)
        if found is None:
            await self._logs.ask("SET", CLUSTER_KEY, self._cluster, "NX")
            found = await self._logs.ask("GET", CLUSTER_KEY)
        return found in (None, self._cluster.encode())
