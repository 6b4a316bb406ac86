"""The connection to Redis: what is checked at the start, and what ends it."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from app.log.shared.address import Address
from app.log.shared.errors import LogUnavailable, UnfitRedis
from tests.deploy.running import free_port
from tests.doubles.tcp_proxy import TcpProxy
from tests.log.shared.conftest import Nodes, Writer, numbers, read, text, through
from tests.support.valkey import Valkey, running_valkey
from tests.support.waiting import until


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", Address("cache", 6379, False, "", "", 0)),
        ("redis://:a%2Fb@10.0.0.1:7000/2", Address("10.0.0.1", 7000, False, "", "a/b", 2)),
        ("rediss://me:secret@cache:6380/", Address("cache", 6380, True, "me", "secret", 0)),
        ("redis://[::1]:6379/0", Address("::1", 6379, False, "", "", 0)),
    ],
)
def test_an_address_is_read(url: str, address: Address) -> None:
    """As the documentation of Redis writes it."""
    assert Address.parse(url) == address
    assert "secret" not in f"{address} {address!r}"


@pytest.mark.parametrize(
    "url", ["", "cache:6379", "http://cache", "redis://", "redis://cache:x", "redis://cache/x"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """With an example of one."""
    with pytest.raises(UnfitRedis, match="redis://host:6379/0"):
        Address.parse(url)


async def test_redis_that_evicts_is_refused(nodes: Nodes) -> None:
    """The sentence says what to set."""
    with (
        running_valkey("--maxmemory-policy", "allkeys-lru") as server,
        pytest.raises(UnfitRedis, match="maxmemory-policy is allkeys-lru"),
    ):
        await nodes.start(server.url)


async def test_a_password_is_used_and_its_lack_is_said(nodes: Nodes) -> None:
    """With the password and a database of its own, a log works; without, the sentence says why not."""
    with running_valkey("--requirepass", "open sesame") as server:
        with pytest.raises(UnfitRedis, match="NOAUTH"):
            await nodes.start(server.url)
        with pytest.raises(UnfitRedis, match="Check the password"):
            await nodes.start(f"redis://:wrong@127.0.0.1:{server.port}/0")
        node = await nodes.start(f"redis://:open%20sesame@127.0.0.1:{server.port}/3")
        stream = Writer(await node.logs.open("s", 1))
        await stream.start()
        await stream.end()
        assert "db3:keys=1" in (await node.logs.ask("INFO", "keyspace")).decode()


async def test_redis_out_of_reach_is_said(nodes: Nodes, own_valkey: Valkey) -> None:
    """At the start; nobody waits for it."""
    own_valkey.kill()
    with pytest.raises(UnfitRedis, match=f"cannot use Redis at .*:{own_valkey.port}"):
        await nodes.start(own_valkey.url)


async def test_a_redis_cluster_is_refused(nodes: Nodes) -> None:
    """It would answer half of the keys with MOVED."""
    with (
        running_valkey("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server,
        pytest.raises(UnfitRedis, match="Use a primary without cluster mode"),
    ):
        await nodes.start(server.url)


async def test_a_primary_that_becomes_a_replica_is_left(
    nodes: Nodes, own_valkey: Valkey, session: str
) -> None:
    """It refuses to write, so the connection is dropped; the log goes on when there is a primary at the address."""
    node = await nodes.start(own_valkey.url)
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    await log.shown()
    own_valkey.command("REPLICAOF", "127.0.0.1", "1")
    stream.say(5)
    await until(lambda: "replica" in node.logs.trouble)
    assert log.head == 1
    own_valkey.command("REPLICAOF", "NO", "ONE")
    await stream.end()
    assert text(read(log)) == numbers(5)


async def test_redis_without_memory_is_said(nodes: Nodes, own_valkey: Valkey, session: str) -> None:
    """It refuses to write; nothing is lost, and the reason is there for whoever asks."""
    node = await nodes.start(own_valkey.url)
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    await log.shown()
    own_valkey.command("CONFIG", "SET", "maxmemory", "1")
    stream.say(5)
    await until(lambda: "OOM" in node.logs.trouble)
    own_valkey.command("CONFIG", "SET", "maxmemory", "0")
    await stream.end()
    assert text(read(log)) == numbers(5)


async def test_silence_ends_a_connection(nodes: Nodes, proxy: TcpProxy, session: str) -> None:
    """A network that loses everything without a word is noticed, and nobody who asks waits longer than their bound."""
    node = await nodes.start(through(proxy))
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    await log.shown()
    proxy.freeze()
    stream.say(5)
    with pytest.raises(LogUnavailable):
        await node.logs.ask("PING")
    await until(lambda: "no reply within 2 s" in node.logs.trouble)
    with pytest.raises(LogUnavailable):
        await node.logs.open(f"{session}-2", 1)
    proxy.mend()
    await stream.end()
    assert text(read(log)) == numbers(5)


async def test_a_slow_network_costs_entries_no_text(nodes: Nodes, proxy: TcpProxy, session: str) -> None:
    """While a batch is on its way, what comes in is joined."""
    proxy.delay = 0.02
    node = await nodes.start(through(proxy))
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    for _ in range(300):
        stream.say()
        await asyncio.sleep(0)
    await stream.end()
    assert text(read(log)) == numbers(300)


def test_uvloop_serves_as_well(valkey: Valkey, session: str) -> None:
    """The loop that servers run on, whose transports are not asyncio's."""

    async def talk() -> str:
        nodes = Nodes()
        try:
            node = await nodes.start(valkey.url)
            log = await node.logs.open(session, 1)
            stream = Writer(log)
            await stream.start()
            stream.say(3)
            await stream.end()
            return text(read(log))
        finally:
            await nodes.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(talk()) == numbers(3)
