"""What makes the server a node of a cluster. Imports nothing of it for a single server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from app.backends.catalog import Catalog
from app.chat.ports import Logger
from app.config.settings import Settings
from app.history.memory import MemoryHistory
from app.history.sql import SqlHistory
from app.redis_url import RedisUrl
from app.streams.registry import Registry
from app.wiring.errors import StartupError

if TYPE_CHECKING:
    from app.nodes.estate import Shared
    from app.nodes.starting import ClusterNode


def check(settings: Settings) -> None:
    """Raise `StartupError` if the settings of a node are not enough for one. Connects to nothing."""
    if settings.redis_url is None:
        return
    if not find_spec("hiredis"):
        raise StartupError("TAILRACE_REDIS_URL needs the Redis client: pip install 'tailrace[redis]'")
    if not (settings.database_url or "").startswith("postgresql://"):
        raise StartupError(
            "TAILRACE_REDIS_URL makes this server a node of a cluster, which needs one PostgreSQL for all. "
            "Set TAILRACE_DATABASE_URL to postgresql://…, or unset TAILRACE_REDIS_URL."
        )
    try:
        RedisUrl.parse(settings.redis_url)
    except ValueError as error:
        raise StartupError(f"TAILRACE_REDIS_URL: {error}") from error


@asynccontextmanager
async def opened_shared(settings: Settings, logger: Logger) -> AsyncIterator[Shared | None]:
    """Yield what a node of a cluster shares with the others; `None` for a single server. Raises `StartupError`."""
    check(settings)
    if settings.redis_url is None:
        yield None
        return
    from app.nodes import starting

    with _node_errors(starting.NodeUnusable):
        async with starting.opened_shared(settings, logger) as shared:
            yield shared


@asynccontextmanager
async def opened_node(
    settings: Settings,
    shared: Shared | None,
    history: MemoryHistory | SqlHistory,
    registry: Registry,
    catalog: Catalog,
    logger: Logger,
) -> AsyncIterator[ClusterNode | None]:
    """Yield the node, if there is a cluster. Raises `StartupError`."""
    if shared is None or not isinstance(history, SqlHistory):
        yield None
        return
    from app.nodes import starting

    with _node_errors(starting.NodeUnusable):
        async with starting.opened_node(settings, shared, history, registry, catalog, logger) as node:
            yield node


@contextmanager
def _node_errors(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as error:
        raise StartupError(str(error)) from error


async def common_secret(history: MemoryHistory | SqlHistory) -> bytes:
    """Return the secret that the nodes of a cluster sign cookies with. Raises `StartupError`."""
    from app.nodes import starting

    with _node_errors(starting.NodeUnusable):
        if not isinstance(history, SqlHistory):
            raise starting.NodeUnusable("a cluster needs PostgreSQL")
        return await starting.cookie_secret(history)


async def join(node: ClusterNode, settings: Settings, host: str, port: int, logger: Logger) -> None:
    """Become a node that the others reach. Raises `StartupError`."""
    from app.nodes import addresses, starting

    url = await addresses.address_of(settings, host, port)
    if addresses.is_out_of_reach(settings, url):
        logger.warning("node_out_of_reach", url=url, advice="set TAILRACE_NODE_URL, or another TAILRACE_HOST")
    with _node_errors(starting.NodeUnusable):
        await node.join(url)
