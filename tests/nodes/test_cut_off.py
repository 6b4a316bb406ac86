"""A node that Redis or PostgreSQL is away for, while the others have it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.chat.errors import HistoryUnavailable
from app.chat.states import Outcome
from tests.doubles.tcp_proxy import TcpProxy
from tests.nodes.conftest import LiveNode, LiveNodes
from tests.nodes.test_takeover import TEXT, hanging
from tests.support.sse import text_of
from tests.support.valkey import Valkey
from tests.support.waiting import until

pytestmark = pytest.mark.slow


async def cut_off(nodes: LiveNodes, proxy: TcpProxy) -> LiveNode:
    """Start a node whose way to Redis is the proxy."""
    there = nodes.redis_url.replace(f":{nodes.redis_port}/", f":{proxy.port}/")
    return await nodes.start(redis_url=there, node_ttl=6.0)


def postgres_of(nodes: LiveNodes) -> TcpProxy:
    """Return a way to PostgreSQL that can be cut."""
    [folder] = parse_qs(urlsplit(nodes.database_url).query)["host"]
    return TcpProxy(f"{folder}/.s.PGSQL.5432")


async def without_postgres(nodes: LiveNodes, proxy: TcpProxy) -> LiveNode:
    """Start a node whose way to PostgreSQL is the proxy. Its leases outlast the test."""
    path = urlsplit(nodes.database_url).path
    return await nodes.start(database_url=f"postgresql://postgres@127.0.0.1:{proxy.port}{path}")


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


async def test_a_prompt_is_answered_by_whoever_has_postgresql(nodes: LiveNodes) -> None:
    """The owner of an idle chat lacks PostgreSQL alone, and lives. The node that was asked answers at once."""
    async with postgres_of(nodes).serving() as proxy:
        a, b = await without_postgres(nodes, proxy), await nodes.start()
        await a.client.ask("s", "hello", model="scripted/short")
        proxy.cut()
        assert (await b.client.ask("s", "and now", model="scripted/short"))[-1].data["outcome"] == "complete"
        assert b.ownership.holds("s", 2)
        assert len(await b.history.messages("local", "s")) == 4
        proxy.mend()
        assert (await a.client.ask("s", "again", model="scripted/short"))[-1].data["outcome"] == "complete"


async def test_a_prompt_supersedes_an_answer_that_goes_on_without_postgresql(nodes: LiveNodes) -> None:
    """Its model stops, and what was seen of it is kept."""
    async with postgres_of(nodes).serving() as proxy:
        a, b = await without_postgres(nodes, proxy), await nodes.start()
        await hanging(a)
        proxy.cut()
        assert (await b.client.ask("s", "newest", model="scripted/short"))[-1].data["outcome"] == "complete"
        proxy.mend()
        await until(lambda: a.server.scripted.ledger.open == 0, within=30)
        answers = (await b.history.messages("local", "s"))[1::2]
        assert [each.outcome for each in answers] == [Outcome.INTERRUPTED, Outcome.COMPLETE]
        assert answers[0].content == TEXT


@pytest.mark.parametrize("body", [{"if_active": "enqueue"}, {"if_active": "reject"}, {"key": "first"}])
async def test_without_postgresql_an_answer_goes_on_for_any_other_prompt(
    nodes: LiveNodes, body: dict[str, str]
) -> None:
    """One that waits for its end, or that was accepted before: the answer may be its own."""
    async with postgres_of(nodes).serving() as proxy:
        a, b = await without_postgres(nodes, proxy), await nodes.start()
        await hanging(a, key="first")
        proxy.cut()
        refused = await b.client.register("s", prompt="hello", model="scripted/hang-middle", **body)
        assert refused["http"] == 503
        assert b.ownership.figures.takeovers == 0
        assert a.server.scripted.ledger.open == 1
        proxy.mend()


async def test_a_prompt_whose_commit_was_not_heard_of(
    nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner has stored it, and lost PostgreSQL before the reply. It is answered elsewhere, once."""
    a, b = await nodes.start(), await nodes.start()
    await a.client.ask("s", "hello", model="scripted/short")
    admit = a.history.admit

    async def unheard(exchange: Any) -> Any:
        await admit(exchange)
        raise HistoryUnavailable("away")

    monkeypatch.setattr(a.history, "admit", unheard)
    events = await b.client.ask("s", "and now", model="scripted/short")
    assert events[-1].data["outcome"] == "complete"
    assert b.ownership.holds("s", 2)
    messages = await b.history.messages("local", "s")
    assert [each.content for each in messages[::2]] == ["hello", "and now"]
    assert [each.outcome for each in messages[1::2]] == [Outcome.COMPLETE, Outcome.COMPLETE]
