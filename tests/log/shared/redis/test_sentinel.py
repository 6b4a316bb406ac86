"""Who names the primary: sentinels, one after the other; what is said if none of them does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.log.shared import hints
from app.log.shared.redis import link, sentinel
from app.log.shared.redis.errors import UnfitRedis
from app.log.shared.shared_logs import key_of
from tests.doubles.sentinel import NamingSentinel
from tests.log.shared.conftest import Hints, Nodes, Writer, numbers, read, text
from tests.support.ports import free_port
from tests.support.recorder import Recorder
from tests.support.sentinel import running_sentinel
from tests.support.valkey import Valkey, running_valkey
from tests.support.waiting import until, until_told


@pytest.fixture
async def naming() -> AsyncIterator[NamingSentinel]:
    """A sentinel that knows no primary yet."""
    async with NamingSentinel().serving() as double:
        yield double


async def test_the_sentinels_are_asked_in_turn(
    nodes: Nodes, own_valkey: Valkey, naming: NamingSentinel, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One refuses, one is silent, one knows no primary: each has its bound, and the last one is asked first later."""
    monkeypatch.setattr(sentinel, "ASK_SECONDS", 0.2)
    naming.named = own_valkey.port
    silent = NamingSentinel(own_valkey.port)
    silent.is_silent = True
    async with silent.serving(), NamingSentinel().serving() as ignorant:
        node = await nodes.start(naming.url(free_port(), silent.port, ignorant.port))
        assert (silent.asked, ignorant.asked, naming.asked) == (1, 1, 1)
        stream = Writer(await node.logs.open(session, 1))
        await stream.start()
        own_valkey.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await stream.end()
        assert (silent.asked, ignorant.asked) == (1, 1)
        assert naming.asked > 1


async def test_sentinels_that_name_none_are_told_of(
    nodes: Nodes, own_valkey: Valkey, naming: NamingSentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, and later as the trouble: each with what is wrong with it."""
    monkeypatch.setattr(sentinel, "ASK_SECONDS", 0.2)
    away = free_port()
    silent = NamingSentinel(1)
    silent.is_silent = True
    async with silent.serving():
        with pytest.raises(UnfitRedis) as refused:
            await nodes.start(naming.url(away, silent.port, own_valkey.port))
        naming.named = own_valkey.port
        node = await nodes.start(naming.url(away, silent.port, own_valkey.port))
        naming.named = None
        own_valkey.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until(lambda: "no sentinel names a primary" in node.logs.trouble)
    for said in (str(refused.value), node.logs.trouble):
        assert f"127.0.0.1:{away} does not answer: " in said
        assert f"127.0.0.1:{silent.port} does not answer within 0.2 s" in said
        assert f"127.0.0.1:{own_valkey.port} refuses this node: ERR unknown command 'SENTINEL'" in said
        assert "Check that it is a sentinel" in said
        assert f"127.0.0.1:{naming.port} knows no primary named 'mymaster'" in said
    assert "cannot use Redis at mymaster of 127.0.0.1" in str(refused.value)


async def test_a_sentinels_own_password(nodes: Nodes, session: str) -> None:
    """It has one of its own, and the primary another; the sentences say which one is missing."""
    with (
        running_valkey("--requirepass", "of the server") as primary,
        running_sentinel(
            primary, 'requirepass "of the sentinel"', 'sentinel auth-pass mymaster "of the server"'
        ) as watching,
    ):
        hosts = f"127.0.0.1:{watching.port}/mymaster"
        with pytest.raises(UnfitRedis, match=r"wants a password. Add \?sentinel_password="):
            await nodes.start(f"redis+sentinel://:of%20the%20server@{hosts}")
        with pytest.raises(UnfitRedis, match="refuses this node: WRONGPASS"):
            await nodes.start(f"redis+sentinel://{hosts}?sentinel_password=wrong")
        with pytest.raises(UnfitRedis, match="NOAUTH"):
            await nodes.start(f"redis+sentinel://{hosts}?sentinel_password=of%20the%20sentinel")
        node = await nodes.start(
            f"redis+sentinel://:of%20the%20server@{hosts}/5?sentinel_password=of%20the%20sentinel"
        )
        await node.logs.open(session, 1)
        assert "db5:keys=" in (await node.logs.ask("INFO", "keyspace")).decode()


async def test_a_named_server_that_is_a_replica_is_waited_for(
    nodes: Nodes, own_valkey: Valkey, naming: NamingSentinel, session: str
) -> None:
    """The sentinels have decided, and the server does not know it yet."""
    naming.named = own_valkey.port
    node = await nodes.start(naming.url())
    stream = Writer(await node.logs.open(session, 1))
    await stream.start()
    own_valkey.command("REPLICAOF", "127.0.0.1", "1")
    stream.say(5)
    await until(lambda: "is a replica, and only a primary can be written to" in node.logs.trouble)
    own_valkey.command("REPLICAOF", "NO", "ONE")
    await stream.end()
    assert text(read(stream.log)) == numbers(5)


async def test_a_primary_with_a_successor_is_left(
    nodes: Nodes, naming: NamingSentinel, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still answers, and takes entries that nobody else will ever read: it may be cut off from its sentinels."""
    monkeypatch.setattr(link, "PING_SECONDS", 0.05)
    with running_valkey() as old, running_valkey() as new:
        naming.named = old.port
        node, log, stream = await nodes.writing(session, naming.url())
        stream.say(5)
        await log.shown()
        naming.named = new.port
        key = key_of(session)

        async def has_moved() -> bool:
            return await asyncio.to_thread(new.command, "EXISTS", key) == b":1\r\n"

        await until_told(has_moved)
        naming.named = None  # nobody knows one for a while: the connection stays
        asked = naming.asked
        await until(lambda: naming.asked > asked)
        stream.say(5)
        await stream.end()
        assert text(read(log)) == numbers(10)
        assert not node.logs.trouble


async def test_hints_follow_the_primary(
    nodes: Nodes, naming: NamingSentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are heard at no replica, and not at a primary that has a successor; while nobody knows one, they go on."""
    monkeypatch.setattr(hints, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(link, "PING_SECONDS", 0.05)
    with running_valkey() as old, running_valkey() as new:
        naming.named = old.port
        node = await nodes.start(naming.url())
        logger = Recorder()
        news = Hints(node, node, logger)

        async def is_heard_at_new() -> bool:
            said = await asyncio.to_thread(new.command, "PUBSUB", "NUMSUB", "tailrace:0:hints")
            return said.endswith(b":1\r\n")

        old.command("REPLICAOF", "127.0.0.1", "1")
        async with news.hearing():
            await until(lambda: any("is a replica" in str(line) for line in logger.lines))
            old.command("REPLICAOF", "NO", "ONE")
            await until_told(news.arrived)
            naming.named = new.port
            await until_told(is_heard_at_new)
            news.heard.clear()
            await until_told(news.arrived)
            naming.named, asked = None, naming.asked
            await until(lambda: naming.asked > asked + 20)
            news.heard.clear()
            await until_told(news.arrived)
            assert await is_heard_at_new()
