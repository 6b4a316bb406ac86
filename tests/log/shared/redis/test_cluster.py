"""Logs on a Redis Cluster: each on its shard, wherever that is, and whatever happens to the other shards."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from app.chat.errors import Fenced, LogUnavailable
from app.log.entries import Entry
from app.log.shared.redis.errors import UnfitRedis
from app.log.shared.redis.link import Link
from app.log.shared.redis.slots import slot_of
from app.log.shared.redis.wire import Reply
from app.log.shared.shared_logs import key_of
from tests.log.shared.conftest import Hints, Node, Nodes, Writer, numbers, read, text
from tests.support.ports import free_port
from tests.support.redis_cluster import (
    RedisCluster,
    ask,
    running_newcomer,
    running_redis_cluster,
    running_replica,
    told,
)
from tests.support.valkey import Valkey
from tests.support.waiting import until, until_told

pytestmark = pytest.mark.slow
LONG = 40.0  # s, for what the servers of a cluster agree on


@pytest.fixture(scope="module")
def redis_cluster() -> Iterator[RedisCluster]:
    """Three primaries for tests that leave them as they are."""
    with running_redis_cluster() as servers:
        yield servers


@pytest.fixture
def own_cluster() -> Iterator[RedisCluster]:
    """Three primaries that the test may kill. One that is away takes the keys of the others not with it."""
    with running_redis_cluster("--cluster-require-full-coverage", "no") as servers:
        yield servers


def session_at(cluster: RedisCluster, server: Valkey) -> str:
    """Return a new session whose log is at a server."""
    while True:
        session = f"alice/{secrets.token_hex(8)}"
        if cluster.of(key_of(session)) is server:
            return session


async def begun(node: Node, session: str, count: int = 10) -> Writer:
    """Begin an answer."""
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    stream.say(count)
    await log.shown()
    return stream


async def copied(primary: Valkey, replica: Valkey) -> None:
    """Return once a replica has all that its primary has."""

    async def is_copied() -> bool:
        had, has = [await asyncio.to_thread(offset, server) for server in (primary, replica)]
        return had == has

    await until_told(is_copied)


def offset(server: Valkey) -> bytes:
    """Return how much of the replicated commands a server has."""
    [line] = [line for line in told(server, "INFO", "replication").split() if b"master_repl_offset" in line]
    return bytes(line)


@pytest.mark.parametrize("key", ["tailrace:{s}:log", "s", "{}s", "{a", "a}{b}", "{a}{b}", "}{é}"])
def test_the_slot_of_a_key(redis_cluster: RedisCluster, key: str) -> None:
    """As the servers count it."""
    assert slot_of(key) == told(redis_cluster.servers[0], "CLUSTER", "KEYSLOT", key)


async def test_each_log_is_at_its_shard(nodes: Nodes, redis_cluster: RedisCluster) -> None:
    """Nobody is redirected for that; the next owner finds each of them."""
    node, other = await nodes.start(redis_cluster.url), await nodes.start(redis_cluster.url)
    for server in redis_cluster.servers:
        told(server, "CONFIG", "RESETSTAT")
        session = session_at(redis_cluster, server)
        stream = await begun(node, session)
        await stream.end()
        assert told(server, "XLEN", key_of(session)) == 4
        assert text(read(await other.logs.open(session, 2))) == numbers(10)
        assert b"MOVED" not in told(server, "INFO", "errorstats")
        await node.logs.ask("SET", session, "x")
        assert await other.logs.ask("GET", session) == b"x"


async def test_a_slot_moves_while_an_answer_is_written(nodes: Nodes, redis_cluster: RedisCluster) -> None:
    """In each step of the migration all that is written is shown once, in order; other logs notice nothing."""
    node = await nodes.start(redis_cluster.url)
    source, target = redis_cluster.servers[:2]
    session, beside = (session_at(redis_cluster, source) for _ in range(2))
    key, slot = key_of(session), slot_of(key_of(session))
    stream, neighbour = await begun(node, session), await begun(node, beside)
    log = node.logs.find(session)
    assert log is not None
    heard: list[Entry] = []
    log.listen(heard.append)

    async def says() -> None:
        stream.say(10)
        neighbour.say(10)
        await log.shown()

    redis_cluster.open_slot(slot, source, target)
    await says()
    assert str(ask(target, "XLEN", key)).startswith("MOVED")
    redis_cluster.move_key(key, source, target)
    await says()
    assert str(ask(source, "XLEN", key)).startswith("ASK")
    stream.say(5)
    redis_cluster.close_slot(slot, target)
    await says()
    assert told(target, "XLEN", key) == 6
    redis_cluster.open_slot(slot, target, source)
    redis_cluster.move_key(key, target, source)
    redis_cluster.close_slot(slot, source)
    await says()
    await stream.end()
    await neighbour.end()
    assert text(heard) == numbers(55, 10)
    assert text(read(log)) == numbers(55)
    assert text(read(neighbour.log)) == numbers(50)
    assert node.logs.measures.repaired == node.logs.measures.detached == 0
    assert not node.logs.trouble
    assert text(read(await (await nodes.start(redis_cluster.url)).logs.open(session, 2))) == numbers(55)


async def test_a_log_is_opened_while_its_slot_moves(nodes: Nodes, redis_cluster: RedisCluster) -> None:
    """One that is there is found at either server; a new one begins where it will stay."""
    first, node = await nodes.start(redis_cluster.url), await nodes.start(redis_cluster.url)
    source, target = redis_cluster.servers[1:]
    session = session_at(redis_cluster, source)
    slot = slot_of(key_of(session))
    stream = await begun(first, session)
    await stream.end()
    redis_cluster.open_slot(slot, source, target)
    assert text(read(await node.logs.open(session, 2))) == numbers(10)
    redis_cluster.move_key(key_of(session), source, target)
    later = await first.logs.open(session, 3)
    assert text(read(later)) == numbers(10)
    again = Writer(later, stream_id="s2", fence=2)
    await again.start()
    again.say(3)
    await again.end()
    redis_cluster.close_slot(slot, target)
    assert text(read(await node.logs.open(session, 4))) == numbers(10) + numbers(3)
    assert told(target, "EXISTS", key_of(session)) == 1
    redis_cluster.open_slot(slot, target, source)
    redis_cluster.move_key(key_of(session), target, source)
    redis_cluster.close_slot(slot, source)


def beside(session: str) -> str:
    """Return a new session whose log is in the same slot."""
    while True:
        other = f"alice/{secrets.token_hex(8)}"
        if slot_of(key_of(other)) == slot_of(key_of(session)):
            return other


async def test_a_slot_moves_to_a_server_without_keys(nodes: Nodes, own_cluster: RedisCluster) -> None:
    """No node knows it before; logs go there, and come back if the move is given up."""
    source = own_cluster.servers[0]
    with running_newcomer(own_cluster) as target:
        node = await nodes.start(own_cluster.url, patience=LONG)
        session = session_at(own_cluster, source)
        key, slot = key_of(session), slot_of(key_of(session))
        stream = await begun(node, session)
        log = node.logs.find(session)
        assert log is not None

        async def says() -> None:
            stream.say(10)
            await asyncio.wait_for(log.shown(), 5)

        for ends in ("given up", "given up", "moved"):
            own_cluster.open_slot(slot, source, target)
            own_cluster.move_key(key, source, target)
            await says()
            new = beside(session)
            await node.logs.open(new, 1)
            assert str(ask(source, "XLEN", key_of(new))).startswith("ASK")
            if ends == "given up":
                own_cluster.abort(slot, source, target, key, key_of(new))
                node.logs.drop(new)
            else:
                own_cluster.close_slot(slot, target)
            await says()
        await stream.end()
        assert text(read(log)) == numbers(70)
        assert node.logs.measures.detached == 0
        await until(lambda: not node.logs.trouble, within=LONG)


async def test_a_log_whose_key_moves_while_it_is_opened(nodes: Nodes, redis_cluster: RedisCluster) -> None:
    """Between its marker and what is read after it: the marker is its own, wherever the key is."""
    source, target = redis_cluster.servers[:2]
    session = session_at(redis_cluster, source)
    key, slot = key_of(session), slot_of(key_of(session))
    moved: list[str] = []

    class Moving(Link):
        async def ask(self, *words: str | bytes | int) -> Reply:
            if words[0] == "EXPIRE" and not moved:
                moved.append(key)
                redis_cluster.open_slot(slot, source, target)
                redis_cluster.move_key(key, source, target)
                redis_cluster.close_slot(slot, target)
            return await super().ask(*words)

    node = await nodes.start(redis_cluster.url, link=Moving)
    stream = await begun(node, session)
    await stream.end()
    assert moved
    assert text(read(stream.log)) == numbers(10)
    assert redis_cluster.of(key) is target
    redis_cluster.open_slot(slot, target, source)
    redis_cluster.move_key(key, target, source)
    redis_cluster.close_slot(slot, source)


async def test_servers_that_do_not_know_their_names(nodes: Nodes, own_cluster: RedisCluster) -> None:
    """They are where they were asked."""
    for server in own_cluster.servers:
        told(server, "CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname")
    node = await nodes.start(own_cluster.url, patience=LONG)
    source, target = own_cluster.servers[:2]
    session = session_at(own_cluster, source)
    key, slot = key_of(session), slot_of(key_of(session))
    stream = await begun(node, session)
    own_cluster.open_slot(slot, source, target)
    own_cluster.move_key(key, source, target)
    own_cluster.close_slot(slot, target)
    assert "?:" in str(ask(source, "XLEN", key))
    with capture_logs() as lines:
        stream.say(10)
        await asyncio.wait_for(stream.end(), 5)
    assert not lines
    assert text(read(stream.log)) == numbers(20)
    assert node.logs.measures.detached == 0


async def test_a_cluster_that_can_only_be_read(nodes: Nodes) -> None:
    """Where entries are refused, nothing is tried without a pause, and after the log's patience it is shown without."""
    with running_redis_cluster("--cluster-allow-reads-when-down", "yes") as cluster:
        node = await nodes.start(cluster.url, patience=2.0)
        there = cluster.servers[0]
        session = session_at(cluster, there)
        stream = await begun(node, session)
        cluster.servers[1].kill()

        async def has_failed() -> bool:
            return await asyncio.to_thread(cluster.has_failed)

        await until_told(has_failed, within=LONG)
        told(there, "CONFIG", "RESETSTAT")
        stream.say(10)
        await until(lambda: stream.log.head == 21, within=LONG)
        assert node.logs.measures.detached == 1
        assert looks(there) < 30
        await asyncio.to_thread(cluster.servers[1].start)
        await asyncio.wait_for(stream.end(), LONG)
        await until(lambda: not node.logs.trouble, within=LONG)
        assert text(read(stream.log)) == numbers(20)

        async def is_sent() -> bool:
            return b"1-22" in await asyncio.to_thread(told, there, "XINFO", "STREAM", key_of(session))

        await until_told(is_sent, within=LONG)


def looks(server: Valkey) -> int:
    """Return how often a server was asked for the newest entry of a log."""
    said = told(server, "INFO", "commandstats").decode()
    return int(said.partition("cmdstat_xinfo|stream:calls=")[2].partition(",")[0])


async def test_a_slot_that_nobody_has_holds_up_its_own_logs_alone(
    nodes: Nodes, own_cluster: RedisCluster
) -> None:
    """The others go on; what waits for too long is shown without Redis, and sent when somebody has the slot again."""
    node = await nodes.start(own_cluster.url, patience=0.5)
    server = own_cluster.servers[0]
    session, beside = (session_at(own_cluster, server) for _ in range(2))
    stream, neighbour = await begun(node, session), await begun(node, beside)
    slot = slot_of(key_of(session))
    for each in own_cluster.servers:
        told(each, "CLUSTER", "DELSLOTS", slot)
    stream.say(10)
    neighbour.say(10)
    await neighbour.end()
    await until(lambda: stream.log.head == 21)
    assert node.logs.measures.detached == 1
    with pytest.raises(LogUnavailable):
        await node.logs.ask("XLEN", key_of(session))
    told(server, "CLUSTER", "ADDSLOTS", slot)

    async def is_sent() -> bool:
        return bool(await asyncio.to_thread(ask, server, "XLEN", key_of(session)) == 4)

    await until_told(is_sent, within=LONG)
    await stream.end()
    assert text(read(stream.log)) == numbers(20)


async def test_a_shard_is_killed_and_comes_back(nodes: Nodes, own_cluster: RedisCluster) -> None:
    """The logs of the others go on meanwhile, and new ones are opened; its own are shown when it is back."""
    node = await nodes.start(own_cluster.url, patience=LONG)
    away, there = own_cluster.servers[0], own_cluster.servers[2]
    lost, kept = session_at(own_cluster, away), session_at(own_cluster, there)
    stream, other = await begun(node, lost), await begun(node, kept)
    more = session_at(own_cluster, there)
    away.kill()
    stream.say(10)
    other.say(10)
    await other.end()
    assert text(read(other.log)) == numbers(20)
    await until(lambda: node.logs.trouble, within=LONG)
    assert str(away.port) in node.logs.trouble
    assert not node.logs.is_away
    assert (node.logs.is_ready(lost), node.logs.is_ready(kept)) == (False, True)
    with pytest.raises(LogUnavailable):
        await node.logs.ready(lost, 0.05)
    await node.logs.open(more, 1)
    assert stream.log.head == 11
    late = await nodes.start(own_cluster.url)
    assert (late.logs.is_ready(lost), late.logs.is_ready(kept)) == (False, True)
    await asyncio.to_thread(away.start)
    await late.logs.ready(lost, LONG)
    await node.logs.ready(lost, LONG)
    await stream.end()
    assert text(read(stream.log)) == numbers(20)
    await until(lambda: not node.logs.trouble, within=LONG)
    assert node.logs.measures.detached == 0


async def test_a_cluster_that_is_down_as_a_whole(nodes: Nodes) -> None:
    """By default a shard that is away takes all with it: that is told, and all logs go on afterwards."""
    with running_redis_cluster() as cluster:
        node = await nodes.start(cluster.url, patience=LONG)
        sessions = [session_at(cluster, server) for server in cluster.servers]
        streams = [await begun(node, session) for session in sessions]
        cluster.servers[1].kill()

        async def has_failed() -> bool:
            return await asyncio.to_thread(cluster.has_failed)

        await until_told(has_failed, within=LONG)
        for stream in streams:
            stream.say(5)
        await until(lambda: "the Redis Cluster is down" in node.logs.trouble, within=LONG)
        assert not node.logs.is_ready(sessions[0])
        with pytest.raises(LogUnavailable):
            await node.logs.ready(sessions[0], 0.05)
        assert [stream.log.head for stream in streams] == [11] * 3
        await asyncio.to_thread(cluster.servers[1].start)
        await node.logs.ready(sessions[0], LONG)
        for stream in streams:
            await asyncio.wait_for(stream.end(), LONG)
            assert text(read(stream.log)) == numbers(15)
        await until(lambda: not node.logs.trouble, within=LONG)
        assert node.logs.measures.detached == 0


async def test_a_replica_takes_the_place_of_its_shard(nodes: Nodes, own_cluster: RedisCluster) -> None:
    """It lacks the last entries: their owner writes them again; the map says where."""
    primary = own_cluster.servers[0]
    with running_replica(own_cluster, primary) as replica:
        node = await nodes.start(own_cluster.url, patience=LONG)
        session = session_at(own_cluster, primary)
        stream = await begun(node, session)
        await copied(primary, replica)
        replica.kill()
        stream.say(10)
        await until(lambda: stream.log.head == 21)
        primary.kill()
        await asyncio.to_thread(replica.start)
        stream.say(5)

        told(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        await asyncio.wait_for(stream.end(), LONG)
        assert text(read(stream.log)) == numbers(25)
        assert node.logs.measures.repaired == 10
        assert node.logs.measures.detached == 0
        await until(lambda: not node.logs.trouble, within=LONG)
        other = await nodes.start(own_cluster.url.replace(str(primary.port), str(replica.port)))
        assert text(read(await other.logs.open(session, 2))) == numbers(25)


async def test_the_leases_decide_before_logs_go_on_at_a_replica(
    nodes: Nodes, own_cluster: RedisCluster
) -> None:
    """It may lack the marker of a later owner, and then would refuse nothing: that owner is asked for first."""
    primary = own_cluster.servers[0]
    with running_replica(own_cluster, primary) as replica:
        node = await nodes.start(own_cluster.url, patience=LONG)
        lost, kept = (session_at(own_cluster, primary) for _ in range(2))
        stream, other = await begun(node, lost), await begun(node, kept)
        await copied(primary, replica)
        node.taken.add(lost)
        primary.kill()
        told(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        stream.say(10)
        other.say(10)
        with pytest.raises(Fenced):
            await asyncio.wait_for(stream.end(), LONG)
        await asyncio.wait_for(other.end(), LONG)
        assert told(replica, "XLEN", key_of(lost)) == 3
        assert text(read(other.log)) == numbers(20)


async def test_the_leases_decide_for_each_log_that_is_moved(nodes: Nodes, own_cluster: RedisCluster) -> None:
    """A log that writes nothing is told last that its shard has another primary, when the others have gone on there."""
    primary = own_cluster.servers[0]
    with running_replica(own_cluster, primary) as replica:
        node = await nodes.start(own_cluster.url, patience=LONG)
        lost, kept = (session_at(own_cluster, primary) for _ in range(2))
        stream, other = await begun(node, lost), await begun(node, kept)
        await copied(primary, replica)
        told(replica, "CLUSTER", "FAILOVER")

        async def is_primary() -> bool:
            return b"role:master" in await asyncio.to_thread(ask, replica, "INFO", "replication")

        await until_told(is_primary, within=LONG)
        other.say(10)
        await asyncio.wait_for(other.end(), LONG)
        node.taken.add(lost)
        stream.say(10)
        with pytest.raises(Fenced):
            await asyncio.wait_for(stream.end(), LONG)
        assert told(replica, "XLEN", key_of(lost)) == 3


async def test_a_shard_without_memory_is_away(nodes: Nodes, own_cluster: RedisCluster) -> None:
    """It can be connected to, and refuses to write: its own logs do without it, the others notice nothing."""
    node = await nodes.start(own_cluster.url, patience=0.5)
    full, there = own_cluster.servers[:2]
    session, beside = session_at(own_cluster, full), session_at(own_cluster, there)
    stream, other = await begun(node, session), await begun(node, beside)
    told(full, "CONFIG", "SET", "maxmemory", 1)
    stream.say(5)
    other.say(5)
    await other.end()
    await until(lambda: stream.log.head == 16)
    assert "OOM" in node.logs.trouble
    assert node.logs.measures.detached == 1
    told(full, "CONFIG", "SET", "maxmemory", 0)
    await until(lambda: not node.logs.trouble)
    await stream.end()
    assert text(read(stream.log)) == text(read(other.log)) == numbers(15)


async def test_hints_reach_all_nodes(nodes: Nodes, own_cluster: RedisCluster) -> None:
    """Whichever servers they are connected to, also after one of these is gone."""
    a, b = await nodes.start(own_cluster.url), await nodes.start(own_cluster.url)
    news = Hints(a, b)
    async with news.hearing():
        await until_told(news.arrived)
        heard_at = (await b.logs.anywhere.server()).port
        next(server for server in own_cluster.servers if server.port == heard_at).kill()
        news.heard.clear()
        await until_told(news.arrived, within=LONG)


async def test_what_is_no_cluster_is_told_of(nodes: Nodes, valkey: Valkey) -> None:
    """A server alone; nobody at all; a database."""
    with pytest.raises(UnfitRedis, match="cluster support disabled"):
        await nodes.start(f"redis+cluster://127.0.0.1:{valkey.port}")
    port = free_port()
    with pytest.raises(UnfitRedis, match=f"cannot use the Redis Cluster at 127.0.0.1:{port}: no server"):
        await nodes.start(f"redis+cluster://127.0.0.1:{port}")
    with pytest.raises(UnfitRedis, match="has one database"):
        await nodes.start(f"redis+cluster://127.0.0.1:{port}/1")
