"""Starts a cluster: engines, the model, a network, and the nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from tests.cluster.harness.model import MODEL, CountingModel
from tests.cluster.harness.node import NodeProcess
from tests.doubles.tcp_proxy import TcpProxy
from tests.support.valkey import Valkey, running_valkey
from tests.support.waiting import until_told

NODES = 3
TTL = 3.0  # s, of a node: half of the default, so that tests take half of the time
SUPERSEDE_TIMEOUT = 1.0  # s, also half
SETTINGS = {
    "EMBEDDED": "0",
    "SCRIPTED": "1",
    "OLLAMA_URL": "off",
    "DEFAULT_MODEL": MODEL,
    "NODE_TTL": f"{TTL:g}",
    "SUPERSEDE_TIMEOUT": f"{SUPERSEDE_TIMEOUT:g}",
    "DRAIN_TIMEOUT": "3",
    "HEARTBEAT": "2",
    "OWNER_STREAMS": "1000",
    "OWNER_EVENT_STREAMS": "1000",
    "OWNER_PROMPTS_PER_MINUTE": "100000",
    "LOG_FORMAT": "logfmt",
}


class RunningCluster:
    """Real nodes on real engines. Made by `running_cluster`."""

    def __init__(
        self,
        nodes: Sequence[NodeProcess],
        valkey: Valkey,
        model: CountingModel,
        database_url: str,
        closing: AsyncExitStack,
    ) -> None:
        self._closing = closing
        self.nodes = list(nodes)
        self.valkey = valkey  # that the nodes use now
        self.model = model
        self.database_url = database_url  # the database itself, past all proxies

    def __getitem__(self, number: int) -> NodeProcess:
        return self.nodes[number]

    async def owner(self, session: str) -> tuple[NodeProcess, int] | None:
        """Return the node that owns a session (a scoped id), living or not, and the epoch; `None` if none does."""
        rows = await self.query(
            "SELECT nodes.url, leases.epoch FROM leases JOIN nodes USING (node_id) WHERE session_id = $1",
            session,
        )
        if not rows:
            return None
        port = urlsplit(rows[0][0]).port
        [node] = [node for node in self.nodes if node.from_peers.port == port]
        return node, rows[0][1]

    async def owners(self) -> dict[str, int]:
        """Return the number of the owner node of each session that has one."""
        rows = await self.query(
            "SELECT session_id, nodes.url FROM leases JOIN nodes USING (node_id) WHERE leases.node_id IS NOT NULL"
        )
        ports = {node.from_peers.port: node.number for node in self.nodes}
        return {session: ports[urlsplit(url).port or 0] for session, url in rows}

    async def query(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Ask the database."""
        connection = await asyncpg.connect(self.database_url, timeout=10)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def replica(self, port: int) -> Valkey:
        """Start a replica of the Valkey behind a port; return it once it has all."""
        replica = await asyncio.to_thread(
            self._closing.enter_context, running_valkey("--replicaof", "127.0.0.1", str(port))
        )

        async def has_all() -> bool:
            return await asyncio.to_thread(replica.role) == "slave/up"

        await until_told(has_all)
        return replica

    def switch(self, valkey: Valkey) -> None:
        """Let the address that the nodes have for Valkey lead to this one."""
        self.valkey = valkey
        for node in self.nodes:
            node.to_redis.target = valkey.port
            node.to_redis.drop()

    async def isolate(self, node: NodeProcess) -> None:
        """Let no other node reach this one, nor this one the others. It has its engines. `rejoin` undoes it."""
        node.cut_off(redis=False, postgres=False, peers=True)
        await asyncio.gather(*(other.from_peers.bar(node.has_port) for other in self.others(node)))

    def rejoin(self, node: NodeProcess) -> None:
        """Undo `isolate`."""
        node.mend()
        for other in self.others(node):
            other.from_peers.mend()

    def others(self, than: NodeProcess) -> list[NodeProcess]:
        """Return the other nodes."""
        return [node for node in self.nodes if node is not than]


def through(database_url: str, port: int) -> str:
    """Return the database's URL by way of a proxy."""
    parts = urlsplit(database_url)
    user = parts.username or "postgres"
    return f"postgresql://{user}@127.0.0.1:{port}{parts.path}?sslmode=disable"


def socket_of(database_url: str) -> str | int:
    """Return where the database listens: a Unix socket, or a port of this machine."""
    parts = urlsplit(database_url)
    if parts.port is not None and parts.hostname:
        return parts.port
    [folder] = parse_qs(parts.query)["host"]
    return f"{folder}/.s.PGSQL.5432"


@asynccontextmanager
async def running_cluster(
    folder: Path, database_url: str, *, nodes: int = NODES, settings: Mapping[str, str] | None = None
) -> AsyncIterator[RunningCluster]:
    """Start a cluster on an empty database, with a Valkey and a model server of its own; yield it once all are ready.

    `settings` are in capitals, unprefixed.
    """
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(running_valkey())
        model = await stack.enter_async_context(CountingModel())
        members = [NodeProcess(number, folder) for number in range(nodes)]
        cluster = RunningCluster(members, valkey, model, database_url, stack)
        for node in members:
            node.to_postgres = await stack.enter_async_context(TcpProxy(socket_of(database_url)).serving())
            node.to_redis = await stack.enter_async_context(TcpProxy(valkey.port).serving())
            node.from_peers = await stack.enter_async_context(TcpProxy(node.port).serving())
            node.configure(
                {
                    **SETTINGS,
                    "OPENAI_URL": model.url,
                    "DATABASE_URL": through(database_url, node.to_postgres.port),
                    "REDIS_URL": f"redis://127.0.0.1:{node.to_redis.port}/0",
                    "NODE_URL": f"http://127.0.0.1:{node.from_peers.port}",
                    **(settings or {}),
                }
            )
            stack.push_async_callback(node.close)
        # The first one alone: it makes the tables.
        await members[0].start()
        await asyncio.gather(*(node.start() for node in members[1:]))
        yield cluster
