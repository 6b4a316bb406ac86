"""The operations of all nodes, from any of them."""

from __future__ import annotations

from typing import Any

from tests.web.nodes.stage import StagedNode


async def operations(node: StagedNode, path: str = "/ops") -> dict[str, Any]:
    """Ask a node for its operations as JSON."""
    async with node.client.http.get(path, headers={"Accept": "application/json"}) as response:
        assert response.status == 200
        found: dict[str, Any] = await response.json()
        return found


async def test_a_node_tells_of_its_peers(pair: tuple[StagedNode, StagedNode]) -> None:
    """Each answers for itself alone, so the question goes no further."""
    a, b = pair
    found = await operations(a)
    assert found["node"]["id"] == "a"
    [peer] = found["peers"]
    assert peer["node"]["id"] == "b", peer
    assert "error" not in peer, peer
    assert "peers" not in peer
    assert peer["statistics"]["active"] == 0
    assert (await operations(b))["peers"][0]["node"]["id"] == "a"


async def test_the_owner_that_is_asked_for_is_passed_on(pair: tuple[StagedNode, StagedNode]) -> None:
    """So all nodes show the same."""
    [peer] = (await operations(pair[0], "/ops?owner=alice"))["peers"]
    assert peer["owner"] == "alice"
