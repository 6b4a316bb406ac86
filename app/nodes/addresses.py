"""Where the other nodes reach this one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

from app import hosts
from app.config.settings import Settings, is_loopback
from app.nodes.postgres_hosts import hosts_of
from app.redis_url import RedisUrl
from app.tasks.timeouts import within

RESOLVE_SECONDS = 5.0


async def address_of(settings: Settings, host: str, port: int) -> str:
    """Return where the other nodes reach this one, which listens on `host` and `port`."""
    if settings.node_url is not None:
        return settings.node_url.rstrip("/")
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - it is compared
        host = await _own_address(settings) or "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_out_of_reach(settings: Settings, url: str) -> bool:
    """Return whether the address is this machine's alone although a server of the database is on another one."""
    databases = [host.name for host in hosts_of(settings.database_url)]
    own = urlsplit(url).hostname or ""
    return is_loopback(own) and any(not is_loopback(hosts.canonical(name) or name) for name in databases)


async def _own_address(settings: Settings) -> str | None:
    """Return this machine's address as seen on the way to the database, else to Redis. Nothing is sent."""
    for host, port in _engines(settings):
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await within(
                RESOLVE_SECONDS,
                loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(host, port)),
            )
        except (OSError, TimeoutError):
            continue
        try:
            return str(transport.get_extra_info("sockname")[0])
        finally:
            transport.close()
    return None


def _engines(settings: Settings) -> Iterator[tuple[str, int]]:
    yield from hosts_of(settings.database_url)
    if settings.redis_url is not None:
        yield from RedisUrl.parse(settings.redis_url).hosts
