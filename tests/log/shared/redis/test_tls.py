"""Redis over TLS: a server, one that sentinels name, and a Redis Cluster; and certificates that are not valid."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from app.log.shared.redis.errors import UnfitRedis
from tests.doubles.sentinel import NamingSentinel
from tests.doubles.tcp_proxy import TcpProxy
from tests.log.shared.conftest import Hints, Nodes, numbers, read, text
from tests.support.redis_cluster import RedisCluster, running_redis_cluster, told
from tests.support.tls import forget_contexts, trusted
from tests.support.valkey import Valkey
from tests.support.waiting import until, until_told

LONG = 40.0  # s, until all servers of a cluster know something


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """What a server needs whose certificate the nodes trust."""
    yield trusted(tmp_path, monkeypatch)
    forget_contexts()


@pytest.fixture
async def front(own_valkey: Valkey, tls: ssl.SSLContext) -> AsyncIterator[TcpProxy]:
    """TLS in front of `own_valkey`."""
    async with TcpProxy(own_valkey.port).serving(tls) as between:
        yield between


async def goes_on(nodes: Nodes, url: str, session: str, *fronts: TcpProxy) -> None:
    """An answer is written over a connection that breaks, and hints arrive."""
    node, log, stream = await nodes.writing(session, url)
    stream.say(10)
    await log.shown()
    for front in fronts:
        front.drop()
    stream.say(10)
    await stream.end()
    assert text(read(log)) == numbers(20)
    assert node.logs.measures.detached == 0
    news = Hints(node, node)
    async with news.hearing():
        await until_told(news.arrived)
    await until(lambda: not node.logs.trouble)


async def test_a_server(nodes: Nodes, front: TcpProxy, session: str) -> None:
    """`rediss://`."""
    await goes_on(nodes, f"rediss://127.0.0.1:{front.port}/0", session, front)


async def test_a_server_that_a_sentinel_names(
    nodes: Nodes, front: TcpProxy, tls: ssl.SSLContext, session: str
) -> None:
    """`rediss+sentinel://` is TLS to the server; `sentinel_ssl` is TLS to the sentinel."""
    async with (
        NamingSentinel(front.port).serving() as plain,
        TcpProxy(plain.port).serving(tls) as sentinel,
    ):
        secure = plain.url().replace("redis+", "rediss+", 1)
        await goes_on(nodes, secure, session, front)
        both = secure.replace(str(plain.port), str(sentinel.port)) + "?sentinel_ssl=true"
        await goes_on(nodes, both, f"{session}-2", front, sentinel)


@pytest.mark.slow
async def test_a_cluster(nodes: Nodes, tls: ssl.SSLContext) -> None:
    """`rediss+cluster://`: TLS to each server, under the port that the others announce."""
    with running_redis_cluster() as cluster:
        async with AsyncExitStack() as stack:
            fronts = [
                await stack.enter_async_context(TcpProxy(server.port).serving(tls))
                for server in cluster.servers
            ]
            await announce(cluster, fronts)
            url = f"rediss+cluster://127.0.0.1:{fronts[0].port}"
            for number in range(6):
                await goes_on(nodes, url, f"alice/s{number}", *fronts)


async def announce(cluster: RedisCluster, fronts: list[TcpProxy]) -> None:
    """Let each server say that it is behind its front, and return once all know it."""
    for server, front in zip(cluster.servers, fronts, strict=True):
        told(server, "CONFIG", "SET", "cluster-announce-port", front.port)
    ports = {front.port for front in fronts}

    async def is_known() -> bool:
        slots = [await asyncio.to_thread(told, server, "CLUSTER", "SLOTS") for server in cluster.servers]
        return all({primary[1] for _, _, primary, *_ in said} == ports for said in slots)

    await until_told(is_known, within=LONG)


async def test_a_certificate_that_is_not_valid(
    nodes: Nodes, front: TcpProxy, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody vouches for it: the node does not start, and says why. While it runs, it waits for a valid one."""
    url = f"rediss://127.0.0.1:{front.port}/0"
    node, log, stream = await nodes.writing(session, url)
    await log.shown()
    with monkeypatch.context() as untrusting:
        untrusting.delenv("SSL_CERT_FILE")
        forget_contexts()
        front.drop()
        stream.say(5)
        with pytest.raises(UnfitRedis, match="certificate verify failed"):
            await nodes.start(url)
        await until(lambda: "certificate verify failed" in node.logs.trouble)
        assert log.head == 1
    forget_contexts()
    await stream.end()
    assert text(read(log)) == numbers(5)
