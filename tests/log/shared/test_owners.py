"""Owners of one log, one after the other, with the old one still writing: its entries end where the new one's begin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.chat.errors import Fenced, HistoryUnavailable, LogUnavailable
from app.chat.states import Outcome
from app.log.answer_view import AnswerView
from app.log.cursors import Cursor
from app.log.entries import End, Entry, Event
from app.log.shared import opening
from app.log.shared.redis.link import Link
from app.log.shared.redis.wire import Reply
from app.log.shared.settling import GoesOn, Tail
from app.log.shared.shared_logs import key_of
from tests.doubles.tcp_proxy import TcpProxy
from tests.log.shared.conftest import Nodes, Writer, numbers, read, text, through
from tests.support.valkey import Valkey
from tests.support.waiting import until


async def test_redis_refuses_the_old_owner(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """Its entry gets nowhere: neither its own viewers nor the new owner's see it. Later appends are refused at once."""
    old, new = await nodes.start(valkey.url), await nodes.start(valkey.url)
    log, stream = await old.writing(session, 5)
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


async def test_an_answer_that_goes_on(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """Nothing came of it so far: it has one `start`, and the new owner writes the rest."""
    old, new = await nodes.start(valkey.url), await nodes.start(valkey.url)
    log = await old.logs.open(session, 1)
    await Writer(log).start()
    await log.shown()
    cursor = Cursor(log.epoch, log.head)

    async def settle(answers: Sequence[AnswerView]) -> list[GoesOn]:
        return [GoesOn(answer.stream_id) for answer in answers]

    later = await new.logs.open(session, 2, settle)
    assert read(later, cursor.seq) == []
    assert later.written is not None
    assert (later.written.stream_id, later.written.content) == ("s1", "")
    stream = Writer(later)
    stream.say(3)
    await stream.end()
    assert [entry.name for entry in read(later, cursor.seq)] == ["token", "end"]
    assert later.refusal(cursor) is None
    assert text(read(later)) == numbers(3)


async def test_an_unfinished_answer_gets_its_end(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """A viewer of the old owner goes on where it was, and finds the end of the answer, and the next answer."""
    old, new = await nodes.start(valkey.url), await nodes.start(valkey.url)
    log, _ = await old.writing(session, 5)
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
    log, stream = await old.writing(session, 5)
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
    log, stream = await old.writing(session, 5)
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


@pytest.mark.parametrize("marked", [True, False])
async def test_an_owner_asks_whose_the_log_is_before_it_returns(
    nodes: Nodes, proxy: TcpProxy, own_valkey: Valkey, session: str, marked: bool
) -> None:
    """Another node has taken it by force, and Redis has lost its marker, or all: nothing refuses the old one."""
    old, new = await nodes.start(through(proxy)), await nodes.start(own_valkey.url)
    log, stream = await old.writing(session, 5)
    proxy.cut()
    await until(lambda: old.logs.trouble)
    stream.say(5)
    if not marked:
        await new.logs.ask("DEL", key_of(session))
    old.taken.add(session)
    proxy.mend()
    with pytest.raises(Fenced):
        await log.shown()
    assert text(read(log)) == numbers(5)
    await old.logs.ask("PING")  # what was sent before has arrived
    assert await new.logs.ask("XLEN", key_of(session)) == (3 if marked else 0)


async def test_an_owner_returns_without_postgresql(
    nodes: Nodes, proxy: TcpProxy, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it no other node can have taken the session for longer than this one is sure of it."""
    node, log, stream = await nodes.writing(session, through(proxy))

    async def fail() -> None:
        raise HistoryUnavailable("away")

    monkeypatch.setattr(node, "check", fail)
    proxy.drop()
    stream.say(5)
    await stream.end()
    assert (text(read(log)), node.logs.measures.detached) == (numbers(5), 0)


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


async def test_an_opening_without_redis_fails(
    nodes: Nodes, proxy: TcpProxy, own_valkey: Valkey, session: str
) -> None:
    """Its end of the old owner's answer is not acknowledged. Shown without Redis, it may be beside another owner's."""
    old, new = await nodes.start(own_valkey.url), await nodes.start(through(proxy), patience=0.2)
    log, _ = await old.writing(session)
    await log.shown()

    async def settle(_answers: Sequence[AnswerView]) -> list[Event | Tail]:
        proxy.freeze()
        return []

    with pytest.raises(LogUnavailable):
        await new.logs.open(session, 2, settle)
    assert new.logs.find(session) is None
    assert new.logs.measures.detached == 0


async def test_an_opening_that_is_overtaken_fails(nodes: Nodes, valkey: Valkey, session: str) -> None:
    """The log was given up before anybody had it."""
    late, new = await nodes.start(valkey.url), await nodes.start(valkey.url)

    async def settle(_answers: Sequence[AnswerView]) -> list[Event | Tail]:
        await new.logs.open(session, 2)
        log = late.logs.find(session)
        assert log is not None
        stream = Writer(log)
        await stream.start()
        with pytest.raises(Fenced):
            await log.shown()
        return []

    with pytest.raises(Fenced):
        await late.logs.open(session, 1, settle)
    assert late.lost == [session]


async def test_only_the_log_of_a_deleted_session_is_begun_anew(
    nodes: Nodes, valkey: Valkey, session: str
) -> None:
    """While it was deleted, this node has lost it and taken it again: somebody may write the newer log."""
    node = await nodes.start(valkey.url)
    old = await node.logs.open(session, 1)
    node.logs.drop(session)
    log = await node.logs.open(session, 2)
    node.logs.renew(session, old)
    assert node.logs.find(session) is log
    stream = Writer(log)
    await stream.start()
    stream.say(2)
    await stream.end()
    assert await node.logs.ask("XLEN", key_of(session)) >= 3
    node.logs.renew(session, log)
    assert node.logs.find(session) is not log
    assert await node.logs.ask("XLEN", key_of(session)) == 0


@pytest.mark.parametrize("opened", [True, False])
async def test_an_epoch_opens_a_log_once(nodes: Nodes, valkey: Valkey, session: str, opened: bool) -> None:
    """Nothing would tell the entries of the two openings apart, whoever they are. Under the next epoch all is there."""
    node = await nodes.start(valkey.url)
    if opened:
        stream = Writer(await node.logs.open(session, 1))
        await stream.start()
        stream.say(2)
        await stream.end()
        node.logs.drop(session)
    else:
        await node.logs.ask("XADD", key_of(session), "1-0", "m", b"\x90")
    with pytest.raises(Fenced):
        await node.logs.open(session, 1)
    log = await node.logs.open(session, 2)
    again = Writer(log, stream_id="s2")
    await again.start()
    again.say(3)
    await again.end()
    assert text(read(log)) == numbers(2 if opened else 0) + numbers(3)


async def test_an_owner_that_came_while_the_log_was_read_is_noticed(
    nodes: Nodes, valkey: Valkey, session: str
) -> None:
    """What it wrote is not what was left to this one."""
    new = await nodes.start(valkey.url)

    class Overtaken(Link):
        """Between the marker and the reading, another owner comes."""

        async def ask(self, *words: str | bytes | int) -> Reply:
            if words[0] == "XRANGE":
                await new.logs.open(session, 3)
            return await super().ask(*words)

    late = await nodes.start(valkey.url, link=Overtaken)
    with pytest.raises(Fenced, match="epoch 3"):
        await late.logs.open(session, 2)


async def test_an_epoch_that_was_given_out_twice_has_one_owner(
    nodes: Nodes, valkey: Valkey, session: str
) -> None:
    """PostgreSQL has lost the transaction of the first: the second is refused, and then fences the first off."""
    first, second = await nodes.start(valkey.url), await nodes.start(valkey.url)
    log = await first.logs.open(session, 5)
    stream = Writer(log)
    await stream.start()
    stream.say(2)
    await log.shown()
    with pytest.raises(Fenced):
        await second.logs.open(session, 5)
    later = await second.logs.open(session, 6)
    assert text(read(later)) == numbers(2)
    stream.say(1)
    await until(lambda: first.lost == [session], within=30)


async def test_a_log_without_an_answer_is_not_kept_for_long(
    nodes: Nodes, valkey: Valkey, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can make up ids: each costs a stream. With the first answer it is kept as long as others."""
    old, new = await nodes.start(valkey.url), await nodes.start(valkey.url)
    monkeypatch.setattr(opening, "EMPTY_SECONDS", 90)
    log = await old.logs.open(session, 1)
    ask = ("TTL", key_of(session))
    assert 0 < await old.logs.ask(*ask) <= 90
    await Writer(log).start()
    await log.shown()
    assert 90 < await old.logs.ask(*ask) <= 120
    await new.logs.open(session, 2)
    assert 90 < await old.logs.ask(*ask) <= 120


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
    log, stream = await old.writing(session)
    for _ in range(2500):
        stream.say()
        await log.shown()
    assert await old.logs.ask("XLEN", key_of(session)) == 2502
    assert text(read(await new.logs.open(session, 2))) == numbers(2500)
