"""Nodes on real engines in the test's own loop."""

from __future__ import annotations

import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.cluster.cluster import Cluster
from app.cluster.ownership import Ownership
from app.log.shared.redis.wire import command
from app.web.app_keys import CLUSTER
from tests.support.postgres import Postgres
from tests.support.server import LiveServer, serve
from tests.support.valkey import Valkey

_databases = itertools.count(1)


def empty(port: int, number: int) -> None:
    """Empty one database of a Valkey, which other tests use, too."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(command("SELECT", number) + command("FLUSHDB"))
        assert connection.recv(64).startswith(b"+OK")


class LiveNode:
    """A running node, seen from inside."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.client = server.client
        self.registry = server.registry
        cluster = server.app[CLUSTER]
        assert cluster is not None
        self.cluster: Cluster = cluster
        assert isinstance(cluster.owners, Ownership)
        self.ownership: Ownership = cluster.owners

    @property
    def history(self) -> Any:
        """The history of the node."""
        return self.registry.history


class LiveNodes:
    """Starts nodes of one cluster. They expire only if a test says so."""

    def __init__(self, database_url: str, redis_url: str, folder: Path, closing: AsyncExitStack) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self._folder = folder
        self._closing = closing
        self._numbers = itertools.count()

    @property
    def redis_port(self) -> int:
        """Where Redis listens."""
        port = urlsplit(self.redis_url).port
        assert port is not None
        return port

    async def start(self, **settings: Any) -> LiveNode:
        """Start one more node."""
        chosen = {
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "node_ttl": 300.0,
            "supersede_timeout": 1.0,
            "continue_": "ask",
            **settings,
        }
        folder = self._folder / f"node-{next(self._numbers)}"
        return LiveNode(await self._closing.enter_async_context(serve(folder, **chosen)))


@pytest.fixture
async def nodes(postgres: Postgres, valkey: Valkey, tmp_path: Path) -> AsyncIterator[LiveNodes]:
    """A cluster without nodes, on an empty database and one of the databases of the test's Valkey."""
    number = 2 + next(_databases) % 14  # the nodes of `tests.cluster` have database 1
    empty(valkey.port, number)
    redis_url = f"redis://127.0.0.1:{valkey.port}/{number}"
    async with AsyncExitStack() as closing:
        yield LiveNodes(await postgres.database(), redis_url, tmp_path, closing)
