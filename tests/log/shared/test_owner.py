"""One owner: what it shows, and when; Redis away, and back with all, with a part, or with nothing of it."""

from __future__ import annotations

import asyncio
import random

import pytest

from app.log.cursors import Cursor
from app.log.entries import Entry
from app.log.shared.shared_log import SharedLog
from app.log.shared.shared_logs import key_of
from tests.doubles.tcp_proxy import TcpProxy
from tests.log.shared.conftest import Node, Nodes, Writer, numbers, read, text, through
from tests.support.valkey import Valkey
from tests.support.waiting import until, until_told


async def test_nothing_is_shown_before_redis_has_it(nodes: Nodes, proxy: TcpProxy, session: str) -> None:
    """Viewers get an entry with its acknowledgement; the stream's own view has it at once."""
    node = await nodes.start(through(proxy))
    log = await node.logs.open(session, 1)
    heard: list[Entry] = []
    log.listen(heard.append)
    proxy.freeze()
    stream = Writer(log)
    await stream.start()
    stream.say(10)
    assert log.written is not None
    assert log.written.content == numbers(10)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (heard, log.head, log.answer, read(log)) == ([], 0, None, [])
    assert log.promise(1) == 12
    assert log.refusal(Cursor(1, 12)) is None
    proxy.mend()
    await log.shown()
    assert log.head == 11
    assert text(heard) == text(read(log)) == numbers(10)
    assert log.answer is not None
    assert log.answer.content == numbers(10)


async def test_what_comes_in_one_turn_of_the_loop_is_one_entry(
    nodes: Nodes, valkey: Valkey, session: str
) -> None:
    """Neighbouring pieces are joined while nobody has to wait for it."""
    node = await nodes.start(valkey.url)
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    await log.shown()
    stream.say(100)
    await log.shown()
    assert valkey.command("XLEN", key_of(session)) == b":3\r\n"  # marker, start, text


async def stored(node: Node, session: str, entries: int) -> None:
    """Return once Redis has so many entries."""

    async def enough() -> bool:
        return bool(await node.logs.ask("XLEN", key_of(session)) >= entries)

    await until_told(enough)


async def has_all(node: Node, log: SharedLog) -> bool:
    """Ask whether Redis has all that the log shows."""
    [[newest, _]] = await node.logs.ask("XREVRANGE", log.key, "+", "-", "COUNT", 1)
    return bool(newest == b"%d-%d" % (log.epoch, log.head))


async def test_a_lost_reply_repeats_nothing(nodes: Nodes, proxy: TcpProxy, session: str) -> None:
    """Redis has the entry, but its owner does not know: after reconnecting it looks, and does not send it again."""
    node = await nodes.start(through(proxy))
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    await log.shown()
    proxy.loses_replies = True
    stream.say(10)
    asked = await nodes.start(f"redis://127.0.0.1:{proxy.target}/0")
    await stored(asked, session, 3)
    stream.say(5)
    assert log.head == 1
    proxy.loses_replies = False
    proxy.drop()
    await log.shown()
    assert text(read(log)) == numbers(15)
    assert await asked.logs.ask("XLEN", key_of(session)) == 4
    assert node.logs.measures.repaired == 0


async def test_redis_away_and_back(nodes: Nodes, own_valkey: Valkey, session: str) -> None:
    """A running answer goes on; what it says is shown when Redis is back, and the next owner has it."""
    node = await nodes.start(own_valkey.url)
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    stream.say(10)
    await log.shown()
    own_valkey.kill()
    stream.say(10)
    await until(lambda: node.logs.trouble)
    stream.say(10)
    assert text(read(log)) == numbers(10)
    own_valkey.start()
    await stream.end()
    assert text(read(log)) == numbers(30)
    assert [entry.name for entry in read(log)][-1] == "end"
    other = await nodes.start(own_valkey.url)
    assert text(read(await other.logs.open(session, 2))) == numbers(30)


async def test_redis_back_empty(nodes: Nodes, proxy: TcpProxy, own_valkey: Valkey, session: str) -> None:
    """The owner gives it the whole log again; cursors of all epochs go on, on the next owner, too."""
    first = await nodes.start(through(proxy))
    before = Writer(await first.logs.open(session, 1))
    await before.start()
    before.say(5)
    await before.end()
    node = await nodes.start(through(proxy))
    log = await node.logs.open(session, 2)
    stream = Writer(log, stream_id="s2")
    await stream.start()
    stream.say(10)
    await log.shown()
    proxy.cut()
    own_valkey.flush()
    stream.say(10)
    proxy.mend()
    await log.shown()
    other = await nodes.start(own_valkey.url)
    later = await other.logs.open(session, 3)
    assert text(read(later)) == numbers(5) + numbers(20)
    assert text(read(later, 3)) == numbers(5, 2) + numbers(20)
    for cursor in (Cursor(1, 3), Cursor(1, 7), Cursor(2, 7), Cursor(2, later.head - 1)):
        assert later.refusal(cursor) is None, cursor
    for cursor in (Cursor(1, 8), Cursor(2, later.head + 1)):
        assert later.refusal(cursor) == "epoch"


class File:
    """The file that Redis appends to, as it is once all that was acknowledged is on disk."""

    def __init__(self, server: Valkey) -> None:
        assert server.command("WAITAOF", "1", "0", "5000").startswith(b"*2\r\n:1")
        [self._path] = server.folder.glob("appendonlydir/*.incr.aof")
        self._size = self._path.stat().st_size

    def shorten(self) -> None:
        """Lose what was appended since. Redis must not run."""
        assert self._path.stat().st_size > self._size
        with self._path.open("rb+") as file:
            file.truncate(self._size)


async def test_redis_back_without_its_last_second(nodes: Nodes, own_valkey: Valkey, session: str) -> None:
    """What was acknowledged and lost is sent again: viewers lose nothing, and the next owner has it all."""
    node = await nodes.start(own_valkey.url)
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    stream.say(10)
    await log.shown()
    file = await asyncio.to_thread(File, own_valkey)
    for _ in range(5):
        stream.say(2)
        await log.shown()
    await asyncio.to_thread(File, own_valkey)
    own_valkey.kill()
    file.shorten()
    own_valkey.start()
    stream.say(5)
    await log.shown()
    assert node.logs.measures.repaired == 10
    assert text(read(log)) == numbers(25)
    other = await nodes.start(own_valkey.url)
    assert text(read(await other.logs.open(session, 2))) == numbers(25)


async def test_a_restart_without_the_owner_resets_what_was_lost(
    nodes: Nodes, own_valkey: Valkey, session: str
) -> None:
    """The log lost its end, and nobody has it: cursors up to the cut go on, later ones are refused for good."""
    node = await nodes.start(own_valkey.url)
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    stream.say(9)
    await log.shown()
    file = await asyncio.to_thread(File, own_valkey)
    stream.say(10)
    await log.shown()
    await node.logs.close()
    await asyncio.to_thread(File, own_valkey)
    own_valkey.kill()
    file.shorten()
    own_valkey.start()
    other = await nodes.start(own_valkey.url)
    later = await other.logs.open(session, 2)
    again = Writer(later, stream_id="s2", fence=2)
    await again.start()
    again.say(30)
    await later.shown()
    assert later.refusal(Cursor(1, 10)) is None
    assert text(read(later, 10)) == numbers(30)
    for seq in (11, 15, 20):
        assert later.refusal(Cursor(1, seq)) == "epoch"


async def test_the_buffer_is_bounded_in_bytes(nodes: Nodes, proxy: TcpProxy, session: str) -> None:
    """When it is full, viewers see what only this node has; when Redis is back it gets all that is retained."""
    node = await nodes.start(through(proxy), max_bytes=20_000)
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    await log.shown()
    proxy.cut()
    await until(lambda: node.logs.trouble)
    largest = 0
    for _ in range(6000):
        stream.say()
        largest = max(largest, log.size)
    assert largest < 3 * 20_000
    assert node.logs.measures.detached == 1
    assert log.head == 6001
    proxy.mend()
    await until(lambda: not node.logs.trouble)
    stream.say(5)
    await stream.end()
    other = await nodes.start(f"redis://127.0.0.1:{proxy.target}/0", max_bytes=20_000)
    await until_told(lambda: has_all(other, log))
    later = await other.logs.open(session, 2)
    assert (later.head, later.floor) == (log.head, log.floor)
    assert log.floor > 0
    assert text(read(later, log.floor)) == text(read(log, log.floor))


async def test_patience_ends(nodes: Nodes, proxy: TcpProxy, session: str) -> None:
    """A log that nobody acknowledges keeps no answer from its end; once Redis is back, it gets what it missed."""
    node = await nodes.start(through(proxy), patience=0.2)
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    await log.shown()
    proxy.cut()
    stream.say(10)
    await stream.end()
    assert text(read(log)) == numbers(10)
    assert node.logs.measures.detached == 1
    proxy.mend()
    other = await nodes.start(f"redis://127.0.0.1:{proxy.target}/0")
    await stored(other, session, 4)
    assert text(read(await other.logs.open(session, 2))) == numbers(10)
    # From here on viewers wait for the acknowledgement again.
    again = Writer(log, fence=2, stream_id="s2")
    before = log.head
    await again.start()
    assert log.head == before


async def test_a_deleted_session_leaves_nothing(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """Its events are gone, in Redis, too, but numbers are not used again: an old cursor never fits a new event."""
    node = await nodes.start(valkey.url)
    log = await node.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    stream.say(10)
    log.clear()
    assert await node.logs.ask("XLEN", key_of(session)) == 0
    again = Writer(log, fence=2, stream_id="s2")
    await again.start()
    again.say(3)
    await log.shown()
    assert (log.floor, log.head) == (11, 15)
    other = await nodes.start(valkey.url)
    later = await other.logs.open(session, 2)
    assert (later.floor, text(read(later, 11))) == (11, numbers(3))
    assert later.refusal(Cursor(1, 10)) == "expired"


async def test_what_is_old_leaves_redis_too(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """Trimming follows the mirror, and the stream has a time to live."""
    node = await nodes.start(valkey.url, max_bytes=50_000)
    log = await node.logs.open(session, 1)
    assert 60 <= await node.logs.ask("TTL", key_of(session)) <= 120
    for number in range(1, 301):
        stream = Writer(log, fence=number, stream_id=f"s{number}")
        await stream.start()
        stream.say(2)
        await stream.end()
    log.expire(0.0)
    assert await node.logs.ask("XLEN", key_of(session)) < 600
    assert 60 <= await node.logs.ask("TTL", key_of(session)) <= 120
    other = await nodes.start(valkey.url, max_bytes=50_000)
    later = await other.logs.open(session, 2)
    assert log.floor >= later.floor > 0
    assert text(read(later, log.floor)) == text(read(log, log.floor))


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_the_log_is_whole(
    nodes: Nodes, proxy: TcpProxy, own_valkey: Valkey, session: str, seed: int
) -> None:
    """Connections break, replies get lost, Redis is emptied and killed: each event is shown once, in order."""
    chance = random.Random(seed)
    node = await nodes.start(through(proxy))
    log = await node.logs.open(session, 1)
    heard: list[Entry] = []
    log.listen(heard.append)
    stream = Writer(log)
    await stream.start()
    for _ in range(40):
        stream.say(chance.randint(0, 3))
        for _ in range(chance.randint(0, 5)):
            await asyncio.sleep(0)
        match chance.randint(0, 9):
            case 0:
                proxy.drop()
            case 1:
                proxy.loses_replies = True
            case 2:
                proxy.loses_replies = False
                proxy.drop()
            case 3:
                await asyncio.to_thread(own_valkey.flush)
                proxy.drop()
            case 4:
                own_valkey.kill()
                await asyncio.to_thread(own_valkey.start)
            case 5 if not proxy.loses_replies:
                await log.shown()
            case _:
                pass
    proxy.loses_replies = False
    proxy.drop()
    await stream.end()
    assert text(heard) == text(read(log)) == numbers(stream.count)
    assert [entry.seq for entry in heard] == sorted({entry.seq for entry in heard})
    # A last look, so that nothing lost stays lost.
    proxy.drop()
    await until(lambda: node.logs.trouble)
    await until(lambda: not node.logs.trouble)
    stream = Writer(log, fence=2, stream_id="s2")
    await stream.start()
    await log.shown()
    assert node.logs.measures.detached == 0
    other = await nodes.start(own_valkey.url)
    later = await other.logs.open(session, 2)
    assert text(read(later)) == numbers(log.head - 3)
    assert later.refusal(Cursor(1, log.head)) is None
