"""Nodes in one process: each a whole server with sockets of its own, with owners that the test decides about."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import structlog
from aiohttp import web

from app.cluster.cluster import Cluster
from app.cluster.moves import Moves
from app.cluster.ports import Expired, Node
from app.config.settings import Settings
from app.streams.registry import Registry
from app.web.app_keys import NODES
from app.web.application import create_application
from app.web.grants import Grant
from app.web.nodes.nodes import Nodes
from app.web.security import connections
from app.web.security.gates import Gate, LocalGate
from app.web.security.guess_counts import GuessCounts
from app.web.security.guesses import Guesses
from app.web.security.refusals import Refusals
from app.web.security.runner import Runner
from app.wiring import parts
from tests.doubles.owners import OwnerTable, TableHints, TableOwners
from tests.doubles.scripted import ScriptedDouble
from tests.support.client import Client

SECRET = b"a secret of the whole cluster"
PATIENCE = 1.0
HEARTBEAT = 0.5
EVENT_STREAMS = 4  # of an owner
ALICE = Grant("alice", is_admin=False)


class AliceGate(LocalGate):
    """Everybody is alice, who has the limits of an owner."""

    def grant(self, _: web.Request) -> Grant:
        """See `Gate`."""
        return ALICE

    async def look_again(self, _: web.Request) -> Grant:
        """See `Gate`."""
        return ALICE


class StagedNode(NamedTuple):
    """A running node."""

    node: Node
    owners: TableOwners
    client: Client
    app: web.Application
    registry: Registry
    runner: Runner

    def drop_connections(self) -> None:
        """Lose all connections at once, as if the machine were gone; new ones are accepted."""
        server = self.runner.server
        assert server is not None
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    @property
    def nodes(self) -> Nodes:
        """What passes its requests on."""
        return self.app[NODES]


@asynccontextmanager
async def staged_node(
    folder: Path,
    name: str,
    table: OwnerTable,
    *,
    peers: list[Node] | None = None,
    expired: Sequence[Expired] = (),
    secret: bytes = SECRET,
    gate: Gate | None = None,
    heartbeat: float = HEARTBEAT,
    base: str = "",
    proxies: tuple[str, ...] = (),
    patience: float = PATIENCE,
    handler_cancellation: bool = True,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[StagedNode]:
    """Run a node with the scripted models and a history of its own, in memory."""
    logger = structlog.get_logger()
    settings = Settings(
        port=0,
        embedded=False,
        ollama_url=None,
        data_dir=folder,
        database_url="memory:",
        owner_event_streams=EVENT_STREAMS,
    )
    async with AsyncExitStack() as closing:
        listener = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
        node = Node(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
        owners = TableOwners(table, node)
        inside = await closing.enter_async_context(parts.opened(settings, logger, extra=(ScriptedDouble(),)))

        async def told_of() -> Sequence[Expired]:
            return expired

        known = peers if peers is not None else []
        cluster = Cluster(
            owners=owners,
            peers=lambda: [peer for peer in known if peer.id != name],
            expired=told_of,
            secret=secret,
            hints=TableHints(table),
            patience=patience,
            ttl=1.0,
            moves=Moves(),
            forget=table.forgotten.append,
            trouble=tuple,
            now=now,
        )
        known.append(node)
        refusals = Refusals(logger)
        app = create_application(
            parts=inside.parts._replace(cluster=cluster),
            gate=gate or LocalGate(),
            limits=parts.limits(settings),
            heartbeat=heartbeat,
            allowed_hosts=("127.0.0.1",),
            allowed_origins=(),
            frame_ancestors=(),
            base=base,
            trusted_proxies=proxies,
            guesses=Guesses(refusals, GuessCounts()),
            refusals=refusals,
            logger=logger,
        )
        members = connections.Connections(limit=None, trusted=(), logger=logger)
        runner = Runner(
            app, members, access_log=None, handler_cancellation=handler_cancellation, shutdown_timeout=0.25
        )
        closing.push_async_callback(inside.catalog.aclose)
        closing.push_async_callback(runner.cleanup)
        closing.push_async_callback(inside.registry.close)
        await runner.setup()
        inside.catalog.start()
        await web.SockSite(runner, listener).start()
        client = await closing.enter_async_context(Client(node.url))
        yield StagedNode(node, owners, client, app, inside.registry, runner)
