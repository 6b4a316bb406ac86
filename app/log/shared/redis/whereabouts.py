"""Reads the setting that says where Redis is."""

from __future__ import annotations

from collections.abc import Callable, Collection

from app.chat.ports import Logger
from app.log.shared.redis.address import Address, Whereabouts
from app.log.shared.redis.cluster import RedisCluster
from app.log.shared.redis.errors import UnfitRedis
from app.log.shared.redis.link import Link
from app.log.shared.redis.sentinel import Sentinels
from app.log.shared.redis.shards import MakeLink, OneServer, Shards
from app.redis_url import RedisUrl


def shards_of(url: str, make: MakeLink, moved: Callable[[], Collection[Link]], logger: Logger) -> Shards:
    """Return what leads to each key. See `RedisCluster`. Raises `UnfitRedis` with what to change in the address."""
    try:
        said = RedisUrl.parse(url)
    except ValueError as error:
        raise UnfitRedis(str(error)) from None
    if said.kind == "cluster":
        return RedisCluster(said, make, moved, logger)
    return OneServer(whereabouts(said), make)


def whereabouts(url: RedisUrl) -> Whereabouts:
    """Return who tells where the one server is."""
    if url.kind == "sentinel":
        return Sentinels(url)
    [host] = url.hosts
    return Address(host.name, host.port, url.tls, url.user, url.password, url.database)
