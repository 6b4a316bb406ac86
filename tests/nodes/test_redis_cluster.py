"""Nodes on a Redis Cluster: sessions on all shards; one of these away, and back."""

from __future__ import annotations

import asyncio

import pytest

from app.log.shared.shared_logs import key_of
from app.wiring.errors import StartupError
from tests.nodes.conftest import LiveNodes
from tests.support.postgres import Postgres
from tests.support.redis_cluster import running_redis_cluster
from tests.support.sse import text_of
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
LONG = 60.0  # s, for what the servers of a cluster agree on


async def test_a_shard_takes_its_own_sessions_with_it(nodes: LiveNodes, postgres: Postgres) -> None:
    """Those of the others are answered meanwhile; `/readyz` tells it; afterwards all are."""
    with running_redis_cluster("--cluster-require-full-coverage", "no") as cluster:
        url = cluster.url
        a, b = [await nodes.start(redis_url=url, node_ttl=LONG) for _ in range(2)]
        with pytest.raises(StartupError, match="belongs to another cluster"):
            await nodes.start(redis_url=url, database_url=await postgres.database())
        names = [f"s{number}" for number in range(40)]
        first, last = cluster.servers[0], cluster.servers[2]
        away, there, new = (
            next(name for name in names if cluster.of(key_of(name)) is first),
            *[name for name in names if cluster.of(key_of(name)) is last][:2],
        )
        for session in (away, there):
            await a.ownership.own(session)
            events = await b.client.ask(session, "hello", model="scripted/short")
            assert events[-1].data["outcome"] == "complete"
        first.kill()
        await until(lambda: a.cluster.trouble() and b.cluster.trouble(), within=LONG)
        ready = await a.client.get("/readyz")
        assert ready["http"] == 503
        assert "a part of Redis does not respond" in ready["detail"]
        for session in (there, new):
            events = await b.client.ask(session, "hello", model="scripted/short")
            assert events[-1].data["outcome"] == "complete"
            assert text_of(events)
        assert (await b.client.register(away, prompt="hello", model="scripted/short"))["http"] == 503
        await asyncio.to_thread(first.start)
        await until(lambda: not (a.cluster.trouble() or b.cluster.trouble()), within=LONG)
        assert (await a.client.get("/readyz"))["http"] == 200
        events = await b.client.ask(away, "hello", model="scripted/short")
        assert events[-1].data["outcome"] == "complete"
