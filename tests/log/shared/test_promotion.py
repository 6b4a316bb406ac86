"""A replica becomes the primary without the last entries: what viewers saw is written again before anything new."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from app.log.cursors import Cursor
from app.log.entries import Entry
from app.log.shared.shared_logs import key_of
from tests.doubles.tcp_proxy import TcpProxy
from tests.log.shared.conftest import Nodes, Writer, numbers, read, text, through
from tests.support.sentinel import Watched, running_watched
from tests.support.valkey import Valkey, running_valkey
from tests.support.waiting import until, until_told

LONG = 40.0  # s, for a failover on a busy machine


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A primary, its replica and a sentinel."""
    with running_watched() as servers:
        yield servers


async def has(server: Valkey, key: str, entries: int) -> None:
    """Return once a server has so many entries."""

    async def enough() -> bool:
        return await asyncio.to_thread(server.command, "XLEN", key) == b":%d\r\n" % entries

    await until_told(enough)


@pytest.mark.slow
async def test_a_promoted_replica_gets_what_it_lacks(nodes: Nodes, watched: Watched, session: str) -> None:
    """The primary is killed, and a sentinel promotes a replica that is behind: no entry is lost, repeated or skipped.

    The old primary comes back as a replica of the new one, and nobody writes to it.
    """
    primary, replica, sentinel = watched
    node = await nodes.start(sentinel.url, patience=LONG)
    log = await node.logs.open(session, 1)
    heard: list[Entry] = []
    log.listen(heard.append)
    stream = Writer(log)
    await stream.start()
    stream.say(10)
    await log.shown()
    await has(replica, log.key, 3)
    replica.kill()
    stream.say(10)
    await log.shown()
    cursor = Cursor(1, log.head)
    stream.say(5)
    await log.shown()
    primary.kill()
    await asyncio.to_thread(replica.start)
    assert await asyncio.to_thread(replica.command, "XLEN", log.key) == b":3\r\n"
    stream.say(5)
    await until(lambda: not node.logs.trouble and log.head == 31, within=LONG)
    assert node.logs.measures.repaired == 15
    assert await asyncio.to_thread(replica.role) == "master"
    await stream.end()
    assert text(heard) == text(read(log)) == numbers(30)
    assert node.logs.measures.detached == 0

    await asyncio.to_thread(primary.start)

    async def follows() -> bool:
        return await asyncio.to_thread(primary.role) == "slave/up"

    await until_told(follows, within=LONG)
    other = await nodes.start(sentinel.url)
    later = await other.logs.open(session, 2)
    assert text(read(later)) == numbers(30)
    assert later.refusal(cursor) is None
    assert text(read(later, cursor.seq)) == numbers(30, 20)
    again = Writer(later, stream_id="s2", fence=2)
    await again.start()
    again.say(3)
    await again.end()
    assert text(read(later, log.head)) == numbers(3)


@pytest.mark.slow
async def test_an_owner_that_dies_with_the_primary(nodes: Nodes, watched: Watched, session: str) -> None:
    """Nobody has what the promoted replica lacks: cursors up to there go on, later ones are refused, none skips."""
    primary, replica, sentinel = watched
    node, log, stream = await nodes.writing(session, sentinel.url, patience=LONG)
    stream.say(10)
    await log.shown()
    await has(replica, log.key, 3)
    replica.kill()
    stream.say(10)
    await log.shown()
    await node.logs.close()
    primary.kill()
    await asyncio.to_thread(replica.start)

    async def is_promoted() -> bool:
        return await asyncio.to_thread(sentinel.names, replica)

    await until_told(is_promoted, within=LONG)
    other = await nodes.start(sentinel.url)
    later = await other.logs.open(session, 2)
    assert later.inherited is not None
    assert later.inherited.content == numbers(10)
    again = Writer(later, stream_id="s2", fence=2)
    await again.start()
    again.say(20)
    await again.end()
    assert later.refusal(Cursor(1, 11)) is None
    assert text(read(later, 11)) == numbers(20)
    for seq in (12, 15, 21):
        assert later.refusal(Cursor(1, seq)) == "epoch"


async def test_an_address_that_leads_to_the_promoted_replica(
    nodes: Nodes, own_valkey: Valkey, proxy: TcpProxy, session: str
) -> None:
    """A virtual address or a proxy does for `redis://` what sentinels do: the owner repairs the log the same way."""
    async with TcpProxy(own_valkey.port).serving() as copying:
        with running_valkey("--replicaof", "127.0.0.1", str(copying.port)) as replica:
            node = await nodes.start(through(proxy))
            log = await node.logs.open(session, 1)
            heard: list[Entry] = []
            log.listen(heard.append)
            stream = Writer(log)
            await stream.start()
            stream.say(10)
            await log.shown()
            await has(replica, log.key, 3)
            copying.freeze()
            stream.say(10)
            await log.shown()
            copying.cut()
            own_valkey.kill()
            stream.say(5)
            proxy.target = replica.port
            await until(lambda: "is a replica" in node.logs.trouble)
            assert log.head == 21
            await asyncio.to_thread(replica.promote)
            await log.shown()
            assert node.logs.measures.repaired == 10
            await stream.end()
            assert text(heard) == text(read(log)) == numbers(25)
            other = await nodes.start(replica.url)
            assert text(read(await other.logs.open(session, 2))) == numbers(25)


async def test_a_deleted_chat_stays_deleted(
    nodes: Nodes, own_valkey: Valkey, proxy: TcpProxy, session: str
) -> None:
    """The promoted replica has not heard of the deletion: it is told by the owner, and the next one shows nothing."""
    async with TcpProxy(own_valkey.port).serving() as copying:
        with running_valkey("--replicaof", "127.0.0.1", str(copying.port)) as replica:
            node, log, stream = await nodes.writing(session, through(proxy))
            stream.say(10)
            await stream.end()
            await has(replica, key_of(session), 4)
            copying.freeze()
            node.logs.renew(session, log)
            await has(own_valkey, key_of(session), 0)
            copying.cut()
            own_valkey.kill()
            await asyncio.to_thread(replica.promote)
            assert await asyncio.to_thread(replica.command, "XLEN", key_of(session)) == b":4\r\n"
            proxy.target = replica.port
            await has(replica, key_of(session), 0)
            other = await nodes.start(replica.url)
            assert read(await other.logs.open(session, 2)) == []
