"""The counts of wrong tokens in Redis, for several servers together. Loaded only if the setting names a server."""

from __future__ import annotations

import asyncio
from typing import Any

from limits.aio.storage import RedisClusterStorage, RedisSentinelStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import ConfigurationError, StorageError
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from app.chat.ports import Logger
from app.redis_url import EXAMPLE, RedisUrl
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
        """Prepare the client; it connects when it is used. Raises `ValueError` with a sentence for an invalid `url`."""
        self._own = own
        self._logger = logger
        self._storage = storage_of(url)
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
        except (TimeoutError, OSError, StorageError, RedisClusterException) as error:
            self._away_until = loop.time() + AWAY
            await self._disconnect()
            if not self._away:
                self._away = True
                self._logger.error("guesses_not_shared", error=_reason(error))
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

    async def _disconnect(self) -> None:
        """Have new connections the next time: these may lead to a server that has become a replica."""
        try:
            await within(ANSWER, self.close())
        except (TimeoutError, OSError, RedisError, RedisClusterException) as error:
            self._logger.debug("guesses_not_closed", error=str(error) or type(error).__name__)

    async def close(self) -> None:
        """Close the connections."""
        bridge: Any = self._storage.bridge
        await bridge.get_connection().aclose()
        if isinstance(self._storage, RedisSentinelStorage):
            for sentinel in bridge.sentinel.sentinels:
                await sentinel.aclose()


def _reason(error: Exception) -> str:
    if isinstance(error, StorageError) and isinstance(error.storage_error, MasterNotFoundError):
        return (
            "no sentinel names a primary"  # its message has all settings, in some releases the password, too
        )
    return str(error) or type(error).__name__


def storage_of(url: str) -> RedisStorage:
    """Return what keeps the counts. Raises `ValueError` with a sentence; no password is in it."""
    common: dict[str, Any] = {
        "wrap_exceptions": True,
        "implementation": "redispy",
        "key_prefix": "tailrace-guesses",
    }
    bounds: dict[str, Any] = {"socket_connect_timeout": ANSWER, "socket_timeout": ANSWER}
    if "+sentinel://" not in url and "+cluster://" not in url:
        try:
            return RedisStorage(f"async+{url}", **common, **bounds)
        except ConfigurationError:
            raise ValueError(EXAMPLE) from None  # its message has the password
    said = RedisUrl.parse(url)
    # Those in brackets first: else Python parses none of them.
    hosts = sorted(map(str, said.hosts), key=lambda host: not host.startswith("["))
    access: dict[str, Any] = {"username": said.user or None, "password": said.password or None}
    if said.kind == "cluster":
        return RedisClusterStorage(
            f"async+redis+cluster://{','.join(hosts)}",
            require_full_coverage=False,
            ssl=said.tls,
            **access,
            **common,
            **bounds,
        )
    sentinels: dict[str, Any] = {
        **bounds,
        "username": said.sentinel_user or None,
        "password": said.sentinel_password or None,
        "ssl": said.sentinel_tls,
        # No second attempts: until these were over, nobody would wait for the next sentinel any more.
        "retry": Retry(NoBackoff(), 0),
    }
    again: dict[str, Any] = {"retry": Retry(NoBackoff(), 1)}  # after a failover has broken a connection
    return RedisSentinelStorage(
        f"async+redis+sentinel://{','.join(hosts)}",
        service_name=said.primary,
        use_replicas=False,
        sentinel_kwargs=sentinels,
        **again,
        db=said.database,
        ssl=said.tls,
        **access,
        **common,
        **bounds,
    )
