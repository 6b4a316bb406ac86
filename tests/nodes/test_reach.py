"""A node that lives, but that the others cannot reach at the address which it has told them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from app.web.nodes import nodes as passing
from app.web.nodes import own_address
from tests.nodes.conftest import LiveNodes
from tests.nodes.test_takeover import TEXT, hanging
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # without `listen`, so nobody else gets the port
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


async def test_readers_take_its_chats_over(
    nodes: LiveNodes, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer ends for all, as a dead node's, though it renews itself; it leads to the new owner afterwards."""
    monkeypatch.setattr(passing, "LEEWAY", 0.0)
    a, b = await nodes.start(node_url=nowhere), await nodes.start(node_ttl=2.0)
    await hanging(a)
    await until(lambda: bool(b.cluster.peers()), within=30)
    async with asyncio.timeout(30):
        shown = (await b.client.get("/api/sessions/s"))["messages"]
    assert b.ownership.holds("s", 2)
    assert [shown[1][name] for name in ("content", "outcome")] == [TEXT, "interrupted"]
    await until(lambda: a.server.scripted.ledger.open == 0, within=30)
    assert (await a.client.get("/api/sessions/s"))["messages"] == shown


async def test_it_says_that_its_address_is_wrong(
    nodes: LiveNodes, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds nobody there, or another node. It still serves, and others may reach it all the same."""
    monkeypatch.setattr(own_address, "LOOK_SECONDS", 0.1)
    a, b = await nodes.start(), await nodes.start(node_url=nowhere)
    c = await nodes.start(node_url=a.server.url)
    for node in (b, c):
        await until(lambda node=node: node.cluster.trouble() != [], within=30)  # type: ignore[misc]
        state = await node.client.get("/readyz")
        assert (state["http"], state["code"]) == (503, "not_ready")
        assert "does not answer at its own TAILRACE_NODE_URL" in state["detail"]
        assert (await node.client.get("/servez"))["http"] == 200
    assert a.cluster.trouble() == []
