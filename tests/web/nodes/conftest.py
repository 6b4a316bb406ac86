"""Two nodes, for the tests that need no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.cluster.ports import Node
from tests.doubles.owners import OwnerTable
from tests.web.nodes.stage import StagedNode, staged_node


@pytest.fixture
def table() -> OwnerTable:
    """Who owns which session."""
    return OwnerTable()


@pytest.fixture
async def pair(tmp_path: Path, table: OwnerTable) -> AsyncIterator[tuple[StagedNode, StagedNode]]:
    """Two nodes that know each other."""
    peers: list[Node] = []
    async with (
        staged_node(tmp_path / "a", "a", table, peers=peers) as a,
        staged_node(tmp_path / "b", "b", table, peers=peers) as b,
    ):
        yield a, b
