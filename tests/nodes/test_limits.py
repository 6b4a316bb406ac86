"""The limits of an owner hold on all nodes together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.chat.errors import OwnerPrompts, OwnerStreams
from app.chat.submission import Submission
from tests.nodes.conftest import LiveNode, LiveNodes

pytestmark = pytest.mark.slow


async def post(node: LiveNode, session: str, owner: str = "alice") -> Any:
    """Send a prompt whose answer does not end."""
    backend = node.server.scripted
    [model] = [model for model in await backend.models() if model.name == "hang-middle"]
    return await node.registry.register(
        Submission(owner=owner, session_id=f"{owner}/{session}", prompt="hello", model=model, backend=backend)
    )


async def test_running_answers(nodes: LiveNodes) -> None:
    """Each node counts those of the others. A prompt that replaces one adds none, and others have their own."""
    a, b = await nodes.start(owner_streams=3), await nodes.start(owner_streams=3)
    await post(a, "s0")
    await post(b, "s1")
    await post(a, "s2")
    for node, session in ((a, "s3"), (b, "s4")):
        with pytest.raises(OwnerStreams, match="You have 3 answers in progress, and 3 are allowed"):
            await post(node, session)
    await post(b, "s1")
    await post(b, "s5", "bob")
    await a.registry.stop_session("alice", "alice/s0", wait=5)
    await a.history.settle()
    await post(b, "s4")


async def test_answers_that_begin_at_once(nodes: LiveNodes) -> None:
    """Nodes that count at the same time do not both have room for the last one."""
    a, b = await nodes.start(owner_streams=1), await nodes.start(owner_streams=1)
    for number in range(5):
        owner = f"owner{number}"
        both = await asyncio.gather(post(a, "s", owner), post(b, "t", owner), return_exceptions=True)
        assert [isinstance(result, OwnerStreams) for result in both].count(True) == 1


async def test_prompts_within_a_minute(nodes: LiveNodes) -> None:
    """On whichever node."""
    a, b = await nodes.start(owner_prompts_per_minute=4), await nodes.start(owner_prompts_per_minute=4)
    for number in range(4):
        await post((a, b)[number % 2], f"s{number % 2}")
    for number in range(2):
        with pytest.raises(OwnerPrompts) as refused:
            await post((a, b)[number], f"s{number}")
        assert 1 <= refused.value.retry_after <= 60


async def test_a_node_knows_who_is_refused(nodes: LiveNodes) -> None:
    """Although it has counted few of the prompts itself: the bodies of further ones are not read."""
    a, b = await nodes.start(owner_prompts_per_minute=2), await nodes.start(owner_prompts_per_minute=2)
    await post(a, "s0")
    await post(b, "s1")
    a.registry.fair_use.check_prompts("alice")
    with pytest.raises(OwnerPrompts):
        await post(a, "s0")
    with pytest.raises(OwnerPrompts) as refused:
        a.registry.fair_use.check_prompts("alice")
    assert 1 <= refused.value.retry_after <= 60
    a.registry.fair_use.check_prompts("bob")
