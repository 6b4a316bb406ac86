"""`make cluster`: three nodes with a real PostgreSQL and a real Valkey, behind nginx if it is there, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.cluster.harness.node import NodeProcess
from tests.deploy.proxies import cluster_nginx
from tests.machine import PROGRAMS
from tests.support.ports import free_port
from tests.support.postgres import running_postgres
from tests.support.valkey import running_valkey

NODES = 3
PORT = 8080  # of the one address; the nodes have the next ones
RESTART_SECONDS = 5.0  # after which a node that ended is started again
# What a user may choose; all else is as the product has it, but for the embedded model: it would be there three times.
CHOSEN = ("OLLAMA_URL", "OPENAI_URL", "OPENAI_API_KEY", "DEFAULT_MODEL", "CONTINUE", "NODE_TTL", "LOG_LEVEL")
SETTINGS = {"EMBEDDED": "0", "SCRIPTED": "1", "CONTINUE": "auto", "HEARTBEAT": "5", "DRAIN_TIMEOUT": "3"}
HINT = """
Open a chat at one address and the same chat at another: both show the same answer. Then end the node that writes it:
kill -9 its process. It is started again after {seconds:g} seconds; `/ops` and `/metrics` show what it owns. The model
`scripted/long` answers for a minute. Ctrl-C ends all."""


@contextmanager
def engines() -> Iterator[tuple[str, str]]:
    """Run PostgreSQL and Valkey; yield their addresses."""
    with running_postgres() as postgres, running_valkey() as valkey:
        yield asyncio.run(postgres.database()), valkey.url


def port_near(wanted: int) -> int:
    """Return a port if it is free, else another one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
    return wanted


@asynccontextmanager
async def nodes(folder: Path, database_url: str, redis_url: str) -> AsyncIterator[list[NodeProcess]]:
    """Run the nodes; yield them once all are ready."""
    chosen = {name: value for name in CHOSEN if (value := os.environ.get(f"TAILRACE_{name}"))}
    async with AsyncExitStack() as stack:
        members = [NodeProcess(number, folder, port_near(PORT + 1 + number)) for number in range(NODES)]
        for node in members:
            node.configure({**SETTINGS, **chosen, "DATABASE_URL": database_url, "REDIS_URL": redis_url})
            stack.push_async_callback(node.close)
        # The first one alone: it makes the tables.
        await members[0].start()
        await asyncio.gather(*(node.start() for node in members[1:]))
        yield members


async def kept(node: NodeProcess) -> None:
    """Start a node again whenever it has ended."""
    while True:
        code = await node.ended(within=None)
        print(f"node {node.number + 1} ended ({code}); it starts again in {RESTART_SECONDS:g} s", flush=True)
        await asyncio.sleep(RESTART_SECONDS)
        await node.start()
        print(f"node {node.number + 1} is back, as process {node.pid}", flush=True)


def address(stack: ExitStack, folder: Path, members: list[NodeProcess]) -> str | None:
    """Put nginx in front, if there is one; return its address."""
    if PROGRAMS["nginx"].find() is None:
        return None
    (folder / "nginx").mkdir()
    ports = [node.port for node in members]
    return stack.enter_context(cluster_nginx(folder / "nginx", ports, port=port_near(PORT)))


async def serve(folder: Path, database_url: str, redis_url: str) -> None:
    """Run the nodes until Ctrl-C."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with ExitStack() as stack:
        async with nodes(folder, database_url, redis_url) as members:
            url = address(stack, folder, members)
            print(f"one address  {url or 'none: nginx is not installed'}", flush=True)
            for node in members:
                print(
                    f"node {node.number + 1}       {node.url}  process {node.pid}, log {node.log}", flush=True
                )
            print(f"PostgreSQL   {database_url}\nValkey       {redis_url}", flush=True)
            print(HINT.format(seconds=RESTART_SECONDS), flush=True)
            keeping = [asyncio.create_task(kept(node)) for node in members]
            waiting = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait([*keeping, waiting], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (*keeping, waiting):
                    task.cancel()
                await asyncio.wait([*keeping, waiting])
            for task in keeping:
                if not task.cancelled():
                    task.result()


def main() -> int:
    """Run the command."""
    print("Starting PostgreSQL, Valkey and three nodes …", flush=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tailrace-cluster-") as folder,
            engines() as (database, redis),
        ):
            asyncio.run(serve(Path(folder), database, redis))
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        print(missing, file=sys.stderr)
        return 1
    print("All have ended.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
