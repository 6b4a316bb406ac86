"""Clusters for tests: three nodes that are left alive, nodes of a test's own, and a network that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster.harness.running import RunningCluster, running_cluster
from tests.cluster.nodes import Nodes, Starter, running_nodes
from tests.support.postgres import Postgres
from tests.support.valkey import Valkey, running_valkey


@pytest.fixture(scope="session")
def nodes(postgres: Postgres, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Three nodes. Who kills or pauses one starts its own."""
    database = asyncio.run(postgres.database())
    with running_nodes(tmp_path_factory.mktemp("nodes"), database, f"{valkey.url[:-1]}1") as running:
        yield running


@pytest.fixture
def start_nodes(postgres: Postgres, tmp_path: Path) -> Starter:
    """Start nodes of the test's own, with a Valkey of their own."""

    @contextmanager
    def start(database: str, count: int = 3, **settings: str) -> Iterator[Nodes]:
        with (
            running_valkey() as valkey,
            running_nodes(tmp_path, database, valkey.url, count=count, **settings) as running,
        ):
            yield running

    return start


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningCluster]:
    """Three nodes of this module. A test that harms one mends it. Needs `pytest.mark.asyncio(loop_scope="module")`."""
    folder = tmp_path_factory.mktemp("cluster")
    async with running_cluster(folder, await postgres.database()) as cluster:
        yield cluster
