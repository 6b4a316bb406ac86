"""The connection to Redis: what is checked at the start, and what ends it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import uvloop

from app.chat.errors import LogUnavailable
from app.log.shared.hints import FIRST_PAUSE, RedisHints
from app.log.shared.redis.address import Address
from app.log.shared.redis.errors import UnfitRedis
from app.log.shared.redis.whereabouts import whereabouts
from app.redis_url import RedisUrl
from tests.doubles.tcp_proxy import TcpProxy
from tests.log.shared.conftest import Hints, Nodes, Writer, numbers, read, text, through
from tests.support.ports import free_port
from tests.support.recorder import Recorder
from tests.support.valkey import Valkey, running_valkey
from tests.support.waiting import until, until_told


async def test_what_is_no_address_is_refused(nodes: Nodes) -> None:
    """With an example of one, and without the password."""
    with pytest.raises(UnfitRedis, match="redis://host:6379/0") as refused:
        await nodes.start("redis://:secret@cache:x")
    assert "secret" not in str(refused.value)


def test_an_address_holds_no_password_for_others() -> None:
    """Neither in messages nor in logs."""
    address = whereabouts(RedisUrl.parse("rediss://me:secret@cache:6380/2"))
    assert address == Address("cache", 6380, True, "me", "secret", 2)
    assert "secret" not in f"{address} {address!r}"
    sentinels = whereabouts(RedisUrl.parse("redis+sentinel://:secret@s1/m?sentinel_password=secret"))
    assert "secret" not in f"{sentinels} {sentinels!r}"


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
        assert "db3:keys=2" in (await node.logs.ask("INFO", "keyspace")).decode()


async def test_a_user_without_the_channel_is_refused(nodes: Nodes, own_valkey: Valkey) -> None:
    """Each hint would cost the connection of all logs, and none would arrive. With the right to it, they do."""
    user = ("ACL", "SETUSER", "app", "on", ">pw", "+@all", "~tailrace*")
    url = f"redis://app:pw@127.0.0.1:{own_valkey.port}/0"
    own_valkey.command(*user)
    with pytest.raises(UnfitRedis, match=r"cannot use Redis at .*Redis refuses: NOPERM"):
        await nodes.start(url)
    own_valkey.command(*user, "&tailrace:*")
    a, b = await nodes.start(url), await nodes.start(url)
    news = Hints(a, b)
    async with news.hearing():
        await until_told(news.arrived)
    assert [node.logs.trouble for node in (a, b)] == ["", ""]


async def test_hints_that_are_refused_are_told_of_once(own_valkey: Valkey) -> None:
    """However often it is tried again: each time later, although the server takes the connection."""
    own_valkey.command("ACL", "SETUSER", "app", "on", ">pw", "+@all", "-subscribe", "&*", "~*")
    tries: list[float] = []

    class Undebugged(Recorder):
        def debug(self, event: str, /, **fields: Any) -> None:
            del event, fields

    class Counted(Address):
        async def server(self) -> Address:
            tries.append(time.monotonic())
            return self

    address = Counted("127.0.0.1", own_valkey.port, False, "app", "pw", 0)
    logger = Undebugged()
    hints = RedisHints(address, node_id="a", logger=logger, publish=lambda _: None)
    async with hints.hearing():
        await until(lambda: len(tries) > 3)
    assert logger.events == ["hints_lost"]
    assert tries[3] - tries[2] >= 2 * FIRST_PAUSE


async def test_redis_out_of_reach_is_said(nodes: Nodes, own_valkey: Valkey) -> None:
    """At the start; nobody waits for it."""
    own_valkey.kill()
    with pytest.raises(UnfitRedis, match=f"cannot use Redis at .*:{own_valkey.port}"):
        await nodes.start(own_valkey.url)


async def test_a_part_of_a_redis_cluster_is_refused(nodes: Nodes) -> None:
    """It would answer most keys with MOVED; the sentence says how to name the whole."""
    with (
        running_valkey("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server,
        pytest.raises(UnfitRedis, match=r"Write redis\+cluster://… for it"),
    ):
        await nodes.start(server.url)


async def test_a_primary_that_becomes_a_replica_is_left(
    nodes: Nodes, own_valkey: Valkey, session: str
) -> None:
    """It refuses to write, so the connection is dropped; the log goes on when there is a primary at the address."""
    node, log, stream = await nodes.writing(session, own_valkey.url)
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
    node, log, stream = await nodes.writing(session, own_valkey.url)
    await log.shown()
    own_valkey.command("CONFIG", "SET", "maxmemory", "1")
    stream.say(5)
    await until(lambda: "OOM" in node.logs.trouble)
    own_valkey.command("CONFIG", "SET", "maxmemory", "0")
    await stream.end()
    assert text(read(log)) == numbers(5)


async def test_redis_that_only_answers_is_away(nodes: Nodes, own_valkey: Valkey, session: str) -> None:
    """It can be connected to, and refuses to write: that does not begin the log's patience anew."""
    node, log, stream = await nodes.writing(session, own_valkey.url, patience=0.5)
    await log.shown()
    own_valkey.command("CONFIG", "SET", "maxmemory", "1")
    stream.say(5)
    await until(lambda: log.is_detached)
    assert "OOM" in node.logs.trouble
    assert text(read(log)) == numbers(5)
    with pytest.raises(LogUnavailable):
        await node.logs.ready(session, 0.1)
    with pytest.raises(UnfitRedis, match="OOM"):
        await nodes.start(own_valkey.url)
    own_valkey.command("CONFIG", "SET", "maxmemory", "0")
    await until(lambda: not log.is_detached)


async def test_who_comes_late_does_not_wait_again(nodes: Nodes, proxy: TcpProxy, session: str) -> None:
    """Redis has been away for as long as anybody waits for it: whoever asks then is told at once."""
    node = await nodes.start(through(proxy))
    proxy.cut()
    await until(lambda: node.logs.trouble)
    with pytest.raises(LogUnavailable):
        await node.logs.ready(session, 0.2)
    late = asyncio.create_task(node.logs.ready(session, 0.2))
    for _ in range(3):
        await asyncio.sleep(0)
    assert late.done()
    with pytest.raises(LogUnavailable):
        await late
    proxy.mend()
    await node.logs.ready(session, 10.0)


async def test_silence_ends_a_connection(nodes: Nodes, proxy: TcpProxy, session: str) -> None:
    """A network that loses everything without a word is noticed, and nobody who asks waits longer than their bound."""
    node, log, stream = await nodes.writing(session, through(proxy))
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
    _, log, stream = await nodes.writing(session, through(proxy))
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
            _, log, stream = await nodes.writing(session, valkey.url)
            stream.say(3)
            await stream.end()
            return text(read(log))
        finally:
            await nodes.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(talk()) == numbers(3)
