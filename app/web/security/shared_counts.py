"""The counts of wrong tokens in Redis, for several servers together. Loaded only if the setting names a server."""

from __future__ import annotations

import asyncio
from typing import Any

from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import ConfigurationError, StorageError

from app.chat.ports import Logger
from app.tasks.timeouts import within
from app.web.security.guess_counts import GuessCounts, counted

ANSWER = 0.5  # s, the longest wait for Redis
AWAY = 10.0  # s, how long Redis is not asked after it failed
AT_ONCE = 4  # commands that Redis is sent at the same time


class SharedCounts:
    """Counts in Redis. A count that is full there is closed in `own`, so that a flood does not reach Redis.

    While Redis does not answer, each server has its own counts alone: that lets nobody in, and shuts nobody out.
    """

    def __init__(self, url: str, own: GuessCounts, logger: Logger) -> None:
        """Prepare the client; it connects when it is used. Raises `ValueError` for an invalid `url`."""
        self._own = own
        self._logger = logger
        try:
            self._storage = RedisStorage(
                f"async+{url}",
                wrap_exceptions=True,
                implementation="redispy",
                key_prefix="tailrace-guesses",
                socket_connect_timeout=ANSWER,
                socket_timeout=ANSWER,
            )
        except ConfigurationError:
            raise ValueError("not an address of a Redis server") from None  # its message has the password
        self._limiter = FixedWindowRateLimiter(self._storage)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._away_until = 0.0  # loop time
        self._away = False

    async def add(self, client: str) -> float | None:
        """See `GuessCounts`. `None` while Redis does not answer."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._away_until:
            return None
        try:
            wait = await within(ANSWER, self._add(client))
        except (TimeoutError, OSError, StorageError) as error:
            self._away_until = loop.time() + AWAY
            if not self._away:
                self._away = True
                self._logger.error("guesses_not_shared", error=str(error) or type(error).__name__)
            return None
        if self._away:
            self._away = False
            self._logger.info("guesses_shared")
        return wait

    async def _add(self, client: str) -> float | None:
        async with self._turns:
            for limit, key in counted(client):
                if not await self._limiter.hit(limit, key):
                    until = (await self._limiter.get_window_stats(limit, key)).reset_time
                    return self._own.close(limit, key, until)
        return None

    async def close(self) -> None:
        """Close the connections."""
        bridge: Any = self._storage.bridge
        await bridge.get_connection().aclose()
