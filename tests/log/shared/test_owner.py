"""One owner: what it shows, and when; Redis away, and back with all, with a part, or with nothing of it."""

from __future__ import annotations

import asyncio
import random

import pytest

from app.chat.errors import Fenced
from app.log.cursors import Cursor
from app.log.entries import Entry
from app.log.shared.records import Place, Record, decode
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
    _, log, stream = await nodes.writing(session, valkey.url)
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
    node, log, stream = await nodes.writing(session, through(proxy))
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


async def test_what_follows_a_lost_reply_is_an_entry_of_its_own(
    nodes: Nodes, proxy: TcpProxy, session: str
) -> None:
    """Else Redis would have the text before it twice, and the next owner could not put the log together."""
    node, log, stream = await nodes.writing(session, through(proxy))
    stream.say(5)
    await log.shown()
    proxy.loses_replies = True
    stream.say(3)
    asked = await nodes.start(f"redis://127.0.0.1:{proxy.target}/0")
    await stored(asked, session, 4)
    proxy.cut()
    await until(lambda: node.logs.trouble)
    stream.say(2)
    proxy.loses_replies = False
    proxy.mend()
    await log.shown()
    assert text(read(log)) == numbers(10)
    last = await asked.logs.ask("XREVRANGE", key_of(session), "+", "-", "COUNT", 1)
    record = decode(Place(1, log.head), *last[0][1])
    assert isinstance(record, Record)
    assert record.texts == ["8 ", "9 "]
    later = await asked.logs.open(session, 2)
    assert later.inherited is not None
    assert later.inherited.content == text(read(later)) == numbers(10)
    assert later.refusal(Cursor(1, 1)) is None


async def test_redis_away_and_back(nodes: Nodes, own_valkey: Valkey, session: str) -> None:
    """A running answer goes on; what it says is shown when Redis is back, and the next owner has it."""
    node, log, stream = await nodes.writing(session, own_valkey.url)
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
        server.sync()
        [self._path] = server.folder.glob("appendonlydir/*.incr.aof")
        self._size = self._path.stat().st_size

    def shorten(self) -> None:
        """Lose what was appended since. Redis must not run."""
        assert self._path.stat().st_size > self._size
        with self._path.open("rb+") as file:
            file.truncate(self._size)


async def test_redis_back_without_its_last_second(nodes: Nodes, own_valkey: Valkey, session: str) -> None:
    """What was acknowledged and lost is sent again: viewers lose nothing, and the next owner has it all."""
    node, log, stream = await nodes.writing(session, own_valkey.url)
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
    node, log, stream = await nodes.writing(session, own_valkey.url)
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
    node, log, stream = await nodes.writing(session, through(proxy), max_bytes=20_000)
    await log.shown()
    proxy.cut()
    await until(lambda: node.logs.trouble)
    stream.say(10)
    assert (log.lag, log.head) == (10, 1)
    largest = 0
    for _ in range(5990):
        stream.say()
        largest = max(largest, log.size)
    assert largest < 3 * 20_000
    assert node.logs.measures.detached == 1
    assert (log.lag, log.head) == (0, 6001)
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


async def test_a_full_buffer_is_not_shown_by_a_node_that_may_not_be_the_owner(
    nodes: Nodes, proxy: TcpProxy, session: str
) -> None:
    """It has heard nothing of PostgreSQL lately, so another node may show an answer of its own."""
    node, log, stream = await nodes.writing(session, through(proxy), max_bytes=20_000)
    await log.shown()
    proxy.cut()
    await until(lambda: node.logs.trouble)
    node.is_confirmed = False
    with pytest.raises(Fenced):
        stream.say(6000)
    with pytest.raises(Fenced):
        await log.shown()
    assert (read(log, 1), node.logs.measures.detached) == ([], 0)
    await until(lambda: node.lost)
    assert node.lost == [session]
    assert node.logs.find(session) is None


@pytest.mark.parametrize("ends", [True, False])
async def test_impatience_shows_nothing_on_a_node_that_may_not_be_the_owner(
    nodes: Nodes, proxy: TcpProxy, session: str, ends: bool
) -> None:
    """Such as one that was suspended for longer than its time to live: another node may show its own answer."""
    node = await nodes.start(through(proxy), patience=0.2)
    log = await node.logs.open(session, 1)
    idle = await node.logs.open(f"{session}-2", 1)
    stream = Writer(log)
    await stream.start()
    await log.shown()
    proxy.cut()
    await until(lambda: node.logs.trouble)
    node.is_confirmed = False
    stream.say(5)
    if ends:
        with pytest.raises(Fenced):
            await stream.end()
    await until(lambda: node.lost)
    assert node.lost == [session]
    assert (read(log, 1), node.logs.measures.detached) == ([], 0)
    assert node.logs.find(f"{session}-2") is idle


async def test_a_detached_log_shows_nothing_once_its_time_has_passed(
    nodes: Nodes, proxy: TcpProxy, session: str
) -> None:
    """PostgreSQL is away, too: without both nobody can tell whose the session is."""
    node, log, stream = await nodes.writing(session, through(proxy), patience=0.2)
    proxy.cut()
    stream.say(5)
    await log.shown()
    stream.say(5)
    assert text(read(log)) == numbers(10)
    node.is_sure = False
    stream.say()
    with pytest.raises(Fenced):
        stream.say()
    assert text(read(log)) == numbers(10)
    await until(lambda: node.lost)


async def test_a_detached_log_asks_whose_it_is(nodes: Nodes, proxy: TcpProxy, session: str) -> None:
    """Another node can take it by force, and no hint comes without Redis. Nobody asks once Redis has all again."""
    node = await nodes.start(through(proxy), patience=0.2)
    log = await node.logs.open(session, 1)
    other = await node.logs.open(f"{session}-2", 1)
    stream, last = Writer(log), Writer(other)
    await stream.start()
    await last.start()
    proxy.cut()
    await log.shown()
    await other.shown()
    await until(lambda: node.checks)
    node.taken.add(session)
    await until(lambda: node.logs.find(session) is None)
    with pytest.raises(Fenced):
        stream.say()
    proxy.mend()
    await until(lambda: not other.is_detached)
    await until(lambda: not any(task.get_name() == "check detached logs" for task in asyncio.all_tasks()))


async def test_redis_emptied_behind_the_owners_back(nodes: Nodes, own_valkey: Valkey, session: str) -> None:
    """The connection is the same as before. The next entry finds no stream, and the log begins anew, as a whole."""
    node, log, stream = await nodes.writing(session, own_valkey.url)
    stream.say(5)
    await log.shown()
    await asyncio.to_thread(own_valkey.flush)
    stream.say(5)
    await log.shown()
    assert node.logs.measures.repaired > 0
    assert node.lost == []
    other = await nodes.start(own_valkey.url)
    await until_told(lambda: has_all(other, log))
    later = await other.logs.open(session, 2)
    assert text(read(later)) == numbers(10)
    assert later.refusal(Cursor(1, log.head)) is None


async def test_an_emptied_redis_takes_nothing_from_a_node_that_may_not_be_the_owner(
    nodes: Nodes, own_valkey: Valkey, session: str
) -> None:
    """It was paused until its stream expired: nothing is left there that would refuse it, so it gives the log up."""
    node, log, stream = await nodes.writing(session, own_valkey.url)
    stream.say(5)
    await log.shown()
    await asyncio.to_thread(own_valkey.flush)
    node.is_sure = False
    stream.say(5)
    with pytest.raises(Fenced):
        await log.shown()
    assert text(read(log)) == numbers(5)
    assert own_valkey.command("EXISTS", key_of(session)) == b":0\r\n"
    await until(lambda: node.lost)
    assert node.lost == [session]


async def test_patience_ends(nodes: Nodes, proxy: TcpProxy, session: str) -> None:
    """A log that nobody acknowledges keeps no answer from its end; once Redis is back, it gets what it missed."""
    node, log, stream = await nodes.writing(session, through(proxy), patience=0.2)
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
    node, log, stream = await nodes.writing(session, valkey.url)
    stream.say(10)
    log.clear()
    assert await node.logs.ask("XLEN", key_of(session)) == 0
    again = Writer(log, fence=2, stream_id="s2")
    await again.start()
    again.say(3)
    await log.shown()
    assert (log.floor, log.head) == (12, 16)
    other = await nodes.start(valkey.url)
    later = await other.logs.open(session, 2)
    assert (later.floor, text(read(later, 12))) == (12, numbers(3))
    for seq in (10, 11):  # of who had read some of it, and all
        assert log.refusal(Cursor(1, seq)) == later.refusal(Cursor(1, seq)) == "expired"


async def test_what_a_later_owner_wrote_is_not_deleted(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """The old one learns too late that it is none any more."""
    old, new = await nodes.start(valkey.url), await nodes.start(valkey.url)
    log, stream = await old.writing(session)
    await stream.end()
    later = Writer(await new.logs.open(session, 2), stream_id="s2")
    await later.start()
    await later.end()
    log.clear()
    await old.logs.ask("PING")
    assert [entry.stream_id for entry in read(await new.logs.open(session, 3))] == ["s2", "s2"]


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


async def test_what_the_mirror_has_dropped_leaves_redis_with_the_next_entry(
    nodes: Nodes, valkey: Valkey, session: str
) -> None:
    """Nobody has to come by for it: an answer of large pieces would fill Redis until then."""
    node = await nodes.start(valkey.url, max_bytes=50_000)
    log, _ = await node.writing(session)
    for position in range(200):
        log.append_text(1, "token", "s1", position, ["x" * 2000])
        await log.shown()
    assert await node.logs.ask("XLEN", key_of(session)) <= 50
    assert log.head - log.floor < 50
    later = await (await nodes.start(valkey.url, max_bytes=50_000)).logs.open(session, 2)
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
