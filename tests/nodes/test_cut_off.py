"""A node that Redis is away for, while the others have it."""

from __future__ import annotations

import pytest

from app.chat.states import Outcome
from tests.doubles.tcp_proxy import TcpProxy
from tests.nodes.conftest import LiveNode, LiveNodes
from tests.nodes.test_takeover import hanging
from tests.support.sse import text_of
from tests.support.valkey import Valkey
from tests.support.waiting import until

pytestmark = pytest.mark.slow


async def cut_off(nodes: LiveNodes, proxy: TcpProxy) -> LiveNode:
    """Start a node whose way to Redis is the proxy."""
    there = nodes.redis_url.replace(f":{nodes.redis_port}/", f":{proxy.port}/")
    return await nodes.start(redis_url=there, node_ttl=6.0)


async def test_a_prompt_is_answered_by_whoever_has_redis(nodes: LiveNodes, valkey: Valkey) -> None:
    """The owner of an idle chat lacks Redis alone. It does not answer, so the node that was asked does."""
    async with TcpProxy(valkey.port).serving() as proxy:
        a, b = await cut_off(nodes, proxy), await nodes.start()
        await a.ownership.own("s")
        assert (await b.client.ask("s", "hello", model="scripted/short"))[-1].data["outcome"] == "complete"
        assert a.ownership.holds("s", 1)
        proxy.cut()
        await until(a.cluster.trouble, within=30)
        events = await b.client.ask("s", "and now", model="scripted/short")
        assert events[-1].data["outcome"] == "complete"
        assert text_of(events)
        assert b.ownership.holds("s", 2)
        assert len(await b.history.messages("local", "s")) == 4
        await until(lambda: not a.ownership.holds("s"), within=30)
        proxy.mend()
        await until(lambda: not a.cluster.trouble(), within=30)
        assert (await a.client.ask("s", "again", model="scripted/short"))[-1].data["outcome"] == "complete"


async def test_a_prompt_supersedes_an_answer_that_goes_on_without_redis(
    nodes: LiveNodes, valkey: Valkey
) -> None:
    """Its model stops, and nobody sees more of it than its log has."""
    async with TcpProxy(valkey.port).serving() as proxy:
        a, b = await cut_off(nodes, proxy), await nodes.start()
        stream = await hanging(a)
        proxy.cut()
        await until(a.cluster.trouble, within=30)
        events = await b.client.ask("s", "newest", model="scripted/short")
        assert events[-1].data["outcome"] == "complete"
        await until(lambda: a.server.scripted.ledger.open == 0, within=30)
        messages = await b.history.messages("local", "s")
        assert [each.outcome for each in messages if each.stream_id == stream and each.outcome] == [
            Outcome.INTERRUPTED
        ]
        assert messages[-1].outcome == Outcome.COMPLETE


@pytest.mark.parametrize("if_active", ["enqueue", "reject"])
async def test_what_leaves_the_answer_alone_interrupts_nothing(
    nodes: LiveNodes, valkey: Valkey, if_active: str
) -> None:
    """The owner lacks Redis, and its answer goes on: only a prompt that takes its place takes the chat."""
    async with TcpProxy(valkey.port).serving() as proxy:
        a, b = await cut_off(nodes, proxy), await nodes.start()
        await hanging(a)
        proxy.cut()
        await until(a.cluster.trouble, within=30)
        refused = await b.client.register("s", prompt="wait", model="scripted/short", if_active=if_active)
        assert refused["http"] == 503
        assert a.ownership.holds("s", 1)
        assert a.server.scripted.ledger.open == 1


async def test_nobody_has_redis(nodes: LiveNodes, valkey: Valkey) -> None:
    """Then the owner keeps its chats, and a prompt gets 503 with a sentence."""
    async with TcpProxy(valkey.port).serving() as proxy:
        a, b = await cut_off(nodes, proxy), await cut_off(nodes, proxy)
        await a.ownership.own("s")
        proxy.cut()
        await until(lambda: a.cluster.trouble() and b.cluster.trouble(), within=30)
        refused = await b.client.register("s", prompt="hello", model="scripted/short")
        assert refused["http"] == 503
        assert "does not respond" in refused["detail"]
        assert a.ownership.holds("s", 1)
