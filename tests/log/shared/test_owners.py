"""Owners of one log, one after the other, with the old one still writing: its entries end where the new one's begin."""

from __future__ import annotations

import asyncio

import pytest

from app.chat.errors import Fenced
from app.chat.states import Outcome
from app.log.cursors import Cursor
from app.log.entries import End, Entry
from app.log.shared.shared_logs import key_of
from tests.doubles.tcp_proxy import TcpProxy
from tests.log.shared.conftest import Nodes, Writer, numbers, read, text, through
from tests.support.valkey import Valkey
from tests.support.waiting import until


async def test_redis_refuses_the_old_owner(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """Its entry gets nowhere: neither its own viewers nor the new owner's see it. Later appends are refused at once."""
    old, new = await nodes.start(valkey.url), await nodes.start(valkey.url)
    log = await old.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    stream.say(5)
    await log.shown()
    later = await new.logs.open(session, 2)
    stream.say(5)
    with pytest.raises(Fenced):
        await log.shown()
    assert text(read(log)) == numbers(5)
    assert old.lost == [session]
    assert old.logs.find(session) is None
    assert old.logs.measures.fenced == 1
    with pytest.raises(Fenced):
        stream.say()
    with pytest.raises(Fenced):
        await stream.end()
    assert text(read(later)) == numbers(5)
    assert new.lost == []


async def test_the_end_of_an_old_owners_answer_is_fenced(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """Whoever waits for the `end` learns that it will not come."""
    old, new = await nodes.start(valkey.url), await nodes.start(valkey.url)
    stream = Writer(await old.logs.open(session, 1))
    await stream.start()
    await new.logs.open(session, 2)
    with pytest.raises(Fenced):
        await stream.end()


async def test_an_unfinished_answer_gets_its_end(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """A viewer of the old owner goes on where it was, and finds the end of the answer, and the next answer."""
    old, new = await nodes.start(valkey.url), await nodes.start(valkey.url)
    log = await old.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    stream.say(5)
    await log.shown()
    cursor = Cursor(log.epoch, log.head)
    later = await new.logs.open(session, 2)
    assert later.inherited is not None
    assert (later.inherited.stream_id, later.inherited.content) == ("s1", numbers(5))
    assert later.refusal(cursor) is None
    [end] = read(later, cursor.seq)
    assert isinstance(end.event, End)
    assert (end.event.stream_id, end.event.outcome, end.event.tokens) == ("s1", Outcome.INTERRUPTED, 5)
    again = Writer(later, stream_id="s2")
    await again.start()
    again.say(3)
    await again.end()
    assert [entry.name for entry in read(later, cursor.seq)] == ["end", "start", "token", "end"]
    assert later.refusal(Cursor(2, later.head)) is None
    third = await new.logs.open(session, 3)
    assert third.inherited is None
    assert third.refusal(cursor) is None
    assert text(read(third)) == numbers(5) + numbers(3)


async def test_the_old_owner_writes_during_the_takeover(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """Whenever the new owner comes: what the old one has shown is all there, and nothing else."""
    old, new = await nodes.start(valkey.url), await nodes.start(valkey.url)
    log = await old.logs.open(session, 1)
    heard: list[Entry] = []
    log.listen(heard.append)
    stream = Writer(log)
    await stream.start()

    async def write() -> None:
        while True:
            stream.say()
            await asyncio.sleep(0)

    writing = asyncio.create_task(write())
    await until(lambda: log.head > 50)
    later = await new.logs.open(session, 2)
    with pytest.raises(Fenced):
        await writing
    assert text(heard) == text(read(log))
    assert later.head == log.head + 1  # the `end`
    assert text(read(later)) == text(heard)
    assert later.refusal(Cursor(1, log.head)) is None
    assert later.refusal(Cursor(1, log.head + 1)) == "epoch"


async def test_an_owner_that_was_away_is_fenced_when_it_is_back(
    nodes: Nodes, proxy: TcpProxy, own_valkey: Valkey, session: str
) -> None:
    """What it could not send stays unseen."""
    old, new = await nodes.start(through(proxy)), await nodes.start(own_valkey.url)
    log = await old.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    stream.say(5)
    await log.shown()
    proxy.cut()
    stream.say(5)
    later = await new.logs.open(session, 2)
    proxy.mend()
    await until(lambda: old.lost)
    assert text(read(log)) == text(read(later)) == numbers(5)
    with pytest.raises(Fenced):
        stream.say()


async def test_redis_forgets_the_new_owner_alone(
    nodes: Nodes, proxy: TcpProxy, own_valkey: Valkey, session: str
) -> None:
    """Redis comes back empty, and the old owner is the first to write: the new one's log replaces what it wrote."""
    old, new = await nodes.start(own_valkey.url), await nodes.start(through(proxy))
    log = await old.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    stream.say(5)
    await log.shown()
    later = await new.logs.open(session, 2)
    again = Writer(later, stream_id="s2")
    await again.start()
    again.say(3)
    await later.shown()
    proxy.cut()
    own_valkey.flush()
    stream.say(5)
    await log.shown()  # nobody can tell it better
    assert own_valkey.command("EXISTS", key_of(session)) == b":1\r\n"
    proxy.mend()
    again.say(3)
    await again.end()
    with pytest.raises(Fenced):
        await stream.end()
    third = await new.logs.open(session, 3)
    assert text(read(third)) == numbers(5) + numbers(6)
    assert third.refusal(Cursor(1, 6)) is None
    assert third.refusal(Cursor(1, 7)) == "epoch"
    assert third.refusal(Cursor(2, third.head)) is None


async def test_a_takeover_under_an_old_epoch_is_refused(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """A node that was paused in the middle of a takeover comes too late."""
    late, new = await nodes.start(valkey.url), await nodes.start(valkey.url)
    log = await new.logs.open(session, 3)
    with pytest.raises(Fenced):
        await late.logs.open(session, 2)
    stream = Writer(log)
    await stream.start()
    await stream.end()
    assert new.lost == []


async def test_an_opening_can_be_repeated(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """The first attempt got as far as the marker, or further: the second goes on from there."""
    node = await nodes.start(valkey.url)
    await node.logs.ask("XADD", key_of(session), "1-0", "m", b"\x90")
    stream = Writer(await node.logs.open(session, 1))
    await stream.start()
    stream.say(2)
    await stream.end()
    node.logs.drop(session)
    log = await node.logs.open(session, 1)
    again = Writer(log, stream_id="s2")
    await again.start()
    again.say(3)
    await again.end()
    assert text(read(log)) == numbers(2) + numbers(3)


async def test_a_log_that_was_given_up_is_written_no_more(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """The node has released the session: its streams end, even before another owner comes."""
    node = await nodes.start(valkey.url)
    stream = Writer(await node.logs.open(session, 1))
    await stream.start()
    node.logs.drop(session)
    with pytest.raises(Fenced):
        stream.say()
    assert node.lost == []
    assert text(read(await node.logs.open(session, 2))) == ""


async def test_a_long_log_is_read_in_pages(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """More entries than one read returns."""
    old, new = await nodes.start(valkey.url), await nodes.start(valkey.url)
    log = await old.logs.open(session, 1)
    stream = Writer(log)
    await stream.start()
    for _ in range(2500):
        stream.say()
        await log.shown()
    assert await old.logs.ask("XLEN", key_of(session)) == 2502
    assert text(read(await new.logs.open(session, 2))) == numbers(2500)
