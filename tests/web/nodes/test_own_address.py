"""A node asks for itself at the address that it has told the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from app.cluster.ports import Node
from app.web.nodes import own_address
from app.web.nodes.own_address import OwnAddress
from app.web.nodes.peers import Peers
from tests.doubles.owners import OwnerTable
from tests.support.waiting import until
from tests.web.nodes.fake_owner import Conversation, fake_owner
from tests.web.nodes.stage import SECRET, StagedNode, staged_node


@pytest.fixture
async def node(tmp_path: Path, table: OwnerTable) -> AsyncIterator[StagedNode]:
    """A node that listens."""
    async with staged_node(tmp_path, "a", table) as node:
        yield node


def own_records(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out what the other server has logged, which is in the same process."""
    return [record for record in records if record["event"].startswith("node_address")]


async def asked(node: Node, *, secret: bytes = SECRET) -> tuple[bool, list[tuple[str, str]]]:
    """Ask once; return whether the node answered, and the event and reason of each record."""
    peers = Peers(secret=secret, sender=lambda: node, patience=0.5)
    with capture_logs() as records:
        own = OwnAddress(peers, lambda: node, structlog.get_logger())
        answered = await own.ask()
    await peers.close()
    assert bool(own.trouble) is not answered
    return answered, [(record["event"], record.get("reason", "")) for record in own_records(records)]


async def test_a_node_at_its_address(node: StagedNode) -> None:
    """Nothing is said."""
    assert await asked(node.node) == (True, [])


async def test_another_node_is_there(node: StagedNode) -> None:
    """Such as with the same setting on two machines."""
    expected = [("node_address_wrong", "another node has this address")]
    assert await asked(Node("b", node.node.url)) == (False, expected)


async def test_a_node_of_another_cluster_is_there(node: StagedNode) -> None:
    """It believes nothing."""
    answered, [(event, reason)] = await asked(node.node, secret=b"another")
    assert not answered
    assert event == "node_address_wrong"
    assert "another database" in reason


async def test_another_server_is_there() -> None:
    """It is content with everything, such as a proxy's start page."""

    async def answer(_: Conversation) -> None:
        """Nothing else is asked for."""

    async with fake_owner(answer) as other:
        expected = [("node_address_wrong", "another server has this address")]
        assert await asked(Node("b", other.node.url)) == (False, expected)


async def test_one_that_says_nothing_is_there() -> None:
    """It is not waited for without a bound."""

    async def answer(_: Conversation) -> None:
        """Nothing else is asked for."""

    async with fake_owner(answer, health=False) as other:
        assert await asked(other.node) == (False, [("node_address_wrong", "timeout")])


async def test_it_asks_until_it_is_right(node: StagedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning comes once."""
    monkeypatch.setattr(own_address, "LOOK_SECONDS", 0.01)
    known = Node("b", node.node.url)
    peers = Peers(secret=SECRET, sender=lambda: known, patience=0.5)
    own = OwnAddress(peers, lambda: known, structlog.get_logger())
    with capture_logs() as records:
        asking = node.nodes.watch(own.keep_asking(), "ask")
        await until(lambda: own.trouble)
        known = node.node
        await asking
    await peers.close()
    assert own.trouble == ""
    assert [record["event"] for record in own_records(records)] == [
        "node_address_wrong",
        "node_address_right",
    ]
