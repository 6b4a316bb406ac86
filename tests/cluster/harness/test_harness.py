"""The harness itself: what it starts runs, what it counts is right, and what it breaks is broken."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.cluster.harness.model import MODEL, counted
from tests.cluster.harness.node import NodeProcess
from tests.cluster.harness.running import RunningCluster
from tests.support.sse import text_of
from tests.support.waiting import until_told

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_each_node_answers(cluster: RunningCluster) -> None:
    """Each of the three reaches the model, and what it says can be counted."""
    for node in cluster.nodes:
        async with node.client() as client:
            session = f"harness-{node.number}"
            events = await client.ask(session, f"session={session} tokens=5", model=MODEL)
            assert text_of(events) == " 0 1 2 3 4"


async def test_a_node_is_killed_and_comes_back(cluster: RunningCluster) -> None:
    """On the same port, with the same data."""
    node = cluster[2]
    await node.kill()
    assert not node.is_running
    assert await node.readiness() == 0
    await node.start()
    assert node.lives == 2


async def answering(node: NodeProcess) -> set[int]:
    """Return the ports of the other nodes that answer it."""
    async with node.client({"Accept": "application/json"}) as client:
        said = await client.get("/ops")
    return {urlsplit(peer["node"]["url"]).port or 0 for peer in said["peers"] if "error" not in peer}


async def test_a_node_is_cut_off_from_the_others_alone(cluster: RunningCluster) -> None:
    """In both directions; the others reach each other, and all of them reach the engines."""
    a, b, c = cluster.nodes
    everybody = {node: {other.from_peers.port for other in cluster.others(node)} for node in cluster.nodes}

    async def is_whole() -> bool:
        return all([await answering(node) == everybody[node] for node in cluster.nodes])

    async def is_cut() -> bool:
        seen = [await answering(node) for node in (a, b, c)]
        return seen == [{c.from_peers.port}, set(), {a.from_peers.port}]

    await until_told(is_whole, within=30)
    await cluster.isolate(b)
    try:
        await until_told(is_cut, within=30)
        assert [await node.readiness() for node in cluster.nodes] == [200] * 3
    finally:
        cluster.rejoin(b)
    await until_told(is_whole, within=30)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), (" 0 1 2", 3), (" 0 2", None), (" 0 1 1", None), (" 1", None), (" 0 1 ", None)],
)
async def test_what_is_counted(text: str, tokens: int | None) -> None:
    """A text is whole from its beginning, or it is none."""
    assert counted(text) == tokens
