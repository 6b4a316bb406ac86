"""`if_active: rollback` of what another node runs: if that cannot be asked, its answers are dropped all the same."""

from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

from app.cluster.ports import Lease
from tests.doubles.tcp_proxy import TcpProxy
from tests.nodes.conftest import LiveNode, LiveNodes
from tests.nodes.test_takeover import hanging

pytestmark = pytest.mark.slow


async def roll_back(node: LiveNode) -> dict[str, Any]:
    """Send a prompt in the place of what runs; return the response once it is answered."""
    answer = await node.client.post("s", "new", model="scripted/short", if_active="rollback")
    assert answer["http"] == 201
    await node.client.read_stream(answer["stream_id"])
    return answer


async def prompts(node: LiveNode) -> list[str]:
    """The user's messages of the session."""
    messages = (await node.client.get("/api/sessions/s"))["messages"]
    return [message["content"] for message in messages if message["role"] == "user"]


async def test_of_a_node_that_is_silent(nodes: LiveNodes) -> None:
    """The answer and its prompt are gone, with those that waited for it; its stream was interrupted."""
    async with TcpProxy(0).serving() as network:
        a = await nodes.start(node_url=f"http://127.0.0.1:{network.port}")
        b = await nodes.start()
        network.target = URL(a.server.client.url).port or 0
        await a.client.ask("s", "kept", model="scripted/short")
        stream = await hanging(a)
        waiting = await a.client.post("s", "next", model="scripted/short", if_active="enqueue")
        network.freeze()
        await roll_back(b)
        assert await prompts(b) == ["kept", "new"]
        states = [await b.client.get(f"/api/streams/{each}") for each in (stream, waiting["stream_id"])]
        assert [state["outcome"] for state in states] == ["interrupted", "superseded"]


async def test_of_a_node_that_is_dead(nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one takes its session over while the prompt is on its way; it is passed on to that one."""
    a, b, c = await nodes.start(), await nodes.start(), await nodes.start()
    await a.client.ask("s", "kept", model="scripted/short")
    await hanging(a)
    owner = b.ownership.owner

    async def late(session_id: str, **how: Any) -> Lease:
        await c.ownership.owner(session_id, over=1)
        return await owner(session_id, **how)

    monkeypatch.setattr(b.ownership, "owner", late)
    await roll_back(b)
    assert c.ownership.holds("s", 2)
    assert await prompts(b) == ["kept", "new"]


async def test_an_answer_that_had_ended_stays(nodes: LiveNodes) -> None:
    """Also if it was interrupted: nothing ran that could be rolled back."""
    a, b = await nodes.start(), await nodes.start()
    await hanging(a)
    await b.ownership.owner("s", over=1)
    await roll_back(a)
    assert await prompts(b) == ["hello", "new"]


async def test_another_prompt_drops_nothing(nodes: LiveNodes) -> None:
    """What was interrupted stays, as on one node."""
    async with TcpProxy(0).serving() as network:
        a = await nodes.start(node_url=f"http://127.0.0.1:{network.port}")
        b = await nodes.start()
        network.target = URL(a.server.client.url).port or 0
        await hanging(a)
        network.freeze()
        await b.client.ask("s", "new", model="scripted/short")
        assert await prompts(b) == ["hello", "new"]
