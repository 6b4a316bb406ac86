"""Ownership of sessions: how a node gets one, notices that it lost it, and gives it up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.chat.errors import HistoryUnavailable, LeaseLost
from app.chat.records import Admission, Exchange
from app.chat.states import Outcome
from app.cluster.ownership import KEPT_SECONDS
from app.cluster.ports import UNOWNED, Lease
from tests.doubles.estate import AWAY, OWNER, ToyNode
from tests.doubles.leases import LeaseTable, Row
from tests.support.waiting import until


class Clock:
    """The clock of the leases' table."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Time in the database."""
    return Clock()


@pytest.fixture
def table(clock: Clock) -> LeaseTable:
    """The database."""
    return LeaseTable(clock)


@pytest.fixture
async def a(table: LeaseTable) -> AsyncIterator[ToyNode]:
    """A node."""
    node = await ToyNode("a", table).join()
    yield node
    await node.registry.close()


@pytest.fixture
async def b(table: LeaseTable) -> AsyncIterator[ToyNode]:
    """Another node."""
    node = await ToyNode("b", table).join()
    yield node
    await node.registry.close()


async def test_the_first_use_takes_a_session(a: ToyNode, b: ToyNode) -> None:
    """Whoever comes later is told the owner. The owner asks nobody any more."""
    lease = await a.ownership.owner("s")
    assert lease == Lease("s", a.node, 1, True)
    assert await a.ownership.owner("s") == lease == await b.ownership.owner("s")
    assert a.leases.taken == 1
    assert (a.ownership.holds("s"), a.ownership.holds("s", 1), a.ownership.holds("s", 2)) == (
        True,
        True,
        False,
    )
    assert not b.ownership.holds("s")
    with pytest.raises(LeaseLost):
        await b.ownership.own("s")
    assert a.taken == []


async def test_many_at_once_take_once(a: ToyNode) -> None:
    """They wait for the same taking, and none sees a session that is not prepared."""
    a.estate.gate.clear()
    asking = [asyncio.ensure_future(a.ownership.owner("s")) for _ in range(5)]
    await until(lambda: a.leases.taken)
    assert not a.ownership.holds("s")
    a.estate.gate.set()
    assert {lease.epoch for lease in await asyncio.gather(*asking)} == {1}
    assert a.leases.taken == 1


async def test_whoever_asked_first_may_leave(a: ToyNode) -> None:
    """A taking belongs to the node."""
    a.estate.gate.clear()
    asking = asyncio.ensure_future(a.ownership.owner("s"))
    await until(lambda: a.leases.taken)
    asking.cancel()
    await asyncio.wait({asking})
    a.estate.gate.set()
    assert (await a.ownership.owner("s")).node == a.node
    assert a.leases.taken == 1


async def test_a_session_is_taken_by_force(a: ToyNode, b: ToyNode) -> None:
    """Under the next epoch, and everybody is told. A force that comes too late takes nothing."""
    await a.ownership.owner("s")
    b.estate.left = 2
    assert await b.ownership.owner("s", over=1) == Lease("s", b.node, 2, True)
    assert b.taken == ["s"]
    assert (b.ownership.figures.takeovers, b.ownership.figures.interrupted) == (1, 2)
    assert b.logger.fields["session_taken_over"] == {
        "session": "s",
        "epoch": 2,
        "interrupted": 2,
        "forced": True,
    }
    a.ownership.heard("s", 2)
    assert await a.ownership.owner("s", over=1) == Lease("s", b.node, 2, True)


@pytest.mark.parametrize("how", ["hint", "renewal", "fence"])
async def test_a_lost_session_ends_here(a: ToyNode, b: ToyNode, how: str) -> None:
    """Its model is stopped and its viewers' responses end, but none of them sees an end: that is the new owner's."""
    await a.post()
    stream = a.stream()
    await until(lambda: a.backend.generations and a.backend.generations[0].opened.is_set())
    log, session = a.estate.logs["s"], a.registry.find("s")
    assert session is not None
    closed: list[str] = []
    session.viewer_came(object(), lambda: closed.append("closed"))
    await b.ownership.owner("s", over=1)
    if how == "hint":
        a.ownership.heard("s", 2)
    elif how == "fence":
        a.ownership.fenced("s", 1)
    else:
        await a.ownership.check()
    assert closed == ["closed"]
    assert a.backend.generations[0].aborted.is_set()
    assert not a.ownership.holds("s")
    await asyncio.wait_for(stream.ended, 5)
    assert stream.lost
    assert [entry.name for entry in log.read(0).entries] == ["start", "status"]
    assert "stream_end" not in a.logger.events
    assert a.logger.fields["stream_lost"]["upstream_closed"]
    assert a.registry.find("s") is None
    assert a.registry.statistics().active == 0
    assert a.estate.lost == [("s", 1)]
    with pytest.raises(LeaseLost):
        await a.post()


@pytest.mark.parametrize("how", ["hint", "renewal", "fence", "log", "silence"])
async def test_a_session_that_is_lost_while_it_is_opened_is_not_held(
    a: ToyNode, b: ToyNode, how: str
) -> None:
    """The opening may take longer than this node lives: its log would be shown beside the new owner's."""
    a.estate.gate.clear()
    asking = asyncio.ensure_future(a.ownership.owner("s"))
    await until(lambda: a.ownership.epochs())
    assert not a.ownership.holds("s")
    await b.ownership.owner("s", over=1)
    match how:
        case "hint":
            a.ownership.heard("s", 2)
        case "fence":
            a.ownership.fenced("s", 1)
        case "log":
            a.ownership.lose("s")
        case "silence":
            a.lose_all()
        case _:
            await a.ownership.check()
    a.estate.gate.set()
    with pytest.raises(LeaseLost):
        await asking
    assert (a.ownership.holds("s"), b.ownership.holds("s", 2)) == (False, True)
    assert a.estate.lost == [("s", 1)]
    assert (await a.ownership.owner("s")).node == b.node


@pytest.mark.parametrize("signalled", [True, False])
async def test_a_stop_of_a_lost_answer_is_not_answered(a: ToyNode, b: ToyNode, signalled: bool) -> None:
    """What this node knows of it is old: whoever asked is to ask the new owner."""
    a.backend.deaf = True  # its cleanup lasts as long as it may
    registered = await a.post()
    await until(lambda: a.backend.generations and a.backend.generations[0].opened.is_set())
    await b.ownership.owner("s", over=1)
    stopping = asyncio.ensure_future(a.registry.stop(OWNER, registered.stream_id, wait=5))
    stream = a.stream()
    if signalled:
        await until(lambda: stream.cancelled)
        assert not stream.ended.done()
    a.ownership.heard("s", 2)
    with pytest.raises(LeaseLost):
        await stopping
    a.backend.generations[0].finish()


async def test_a_stop_in_a_session_that_has_just_moved_is_not_answered(a: ToyNode, b: ToyNode) -> None:
    """Nothing runs here any more, but it may run there."""
    await a.post()
    await b.ownership.owner("s", over=1)
    a.ownership.heard("s", 2)
    with pytest.raises(LeaseLost):
        await a.registry.stop_session(OWNER, "s", wait=5)


async def test_a_stop_where_nothing_runs(a: ToyNode) -> None:
    """It is answered where the session is."""
    await a.post()
    await a.ownership.give_all(wait=5)
    await a.ownership.own("s")
    assert await a.registry.stop_session(OWNER, "s", wait=5) is None


async def test_an_old_hint_changes_nothing(a: ToyNode) -> None:
    """Hints come late, twice, and about what this node never had."""
    await a.ownership.owner("s")
    a.ownership.heard("s", 1)
    a.ownership.heard("t", 9)
    a.ownership.fenced("s", 7)
    assert a.ownership.holds("s", 1)
    assert a.ownership.figures.losses == 0


async def test_what_cannot_be_opened_is_not_kept(a: ToyNode, b: ToyNode) -> None:
    """Else every request for it would be sent to a node that cannot serve it."""
    a.estate.failure = HistoryUnavailable("no Redis")
    with pytest.raises(HistoryUnavailable, match="no Redis"):
        await a.ownership.owner("s")
    assert not a.ownership.holds("s")
    assert await b.ownership.owner("s") == Lease("s", b.node, 2, True)


async def test_a_node_that_expires_while_it_takes_a_session(
    a: ToyNode, b: ToyNode, table: LeaseTable
) -> None:
    """Renewed again, it asks whether it still has the session before it believes so."""
    loop = asyncio.get_running_loop()
    a.estate.gate.clear()
    a.ownership.sure_until = loop.time() + 0.05
    asking = asyncio.ensure_future(a.ownership.owner("s"))
    await until(lambda: a.leases.taken and not a.ownership.is_sure)
    table.nodes["a"] = a.node, -1.0
    assert (await b.ownership.owner("s")).epoch == 2
    assert not await a.leases.renew()
    a.ownership.sure_until = loop.time() + 300
    a.estate.gate.set()
    with pytest.raises(LeaseLost):
        await asking
    assert not a.ownership.holds("s")
    assert a.estate.lost == [("s", 1)]
    assert await a.ownership.owner("s") == Lease("s", b.node, 2, True)


async def test_whoever_waits_for_a_taking_shares_its_error(a: ToyNode) -> None:
    """Each of them would take as long as the first, one after the other."""
    a.estate.gate.clear()
    a.estate.failure = AWAY
    asking = [asyncio.ensure_future(a.ownership.owner("s")) for _ in range(5)]
    await until(lambda: a.leases.taken)
    a.estate.gate.set()
    assert await asyncio.gather(*asking, return_exceptions=True) == [AWAY] * 5
    assert a.leases.taken == 1


async def test_what_cannot_be_opened_is_not_taken(a: ToyNode, b: ToyNode, table: LeaseTable) -> None:
    """Without Redis: else each request would be a change of owner. Another node's lease is known all the same."""
    theirs = await b.ownership.owner("s")
    a.estate.is_up = False
    assert await a.ownership.owner("s") == theirs
    for over in (None, 1):
        with pytest.raises(HistoryUnavailable, match="away"):
            await a.ownership.owner("t" if over is None else "s", over=over)
    assert table.leases == {"s": Row("b", 1)}


async def test_what_could_not_be_taken_over_still_is_an_orphan(a: ToyNode, b: ToyNode) -> None:
    """Its answers have not been ended, so another node has to."""
    await b.ownership.owner("s")
    a.estate.failure = HistoryUnavailable("no Redis")
    with pytest.raises(HistoryUnavailable):
        await a.ownership.owner("s", over=1)
    b.ownership.heard("s", 2)
    assert await b.ownership.reap(10) == 1
    assert b.ownership.holds("s", 3)


async def test_an_idle_session_is_given_up(a: ToyNode, b: ToyNode) -> None:
    """Any node can take it then."""
    await a.ownership.owner("s")
    assert await a.ownership.give_idle()
    assert len(a.ownership) == 0
    assert await b.ownership.reap(10) == 0
    assert await b.ownership.owner("s") == Lease("s", b.node, 2, True)


async def test_a_running_session_is_not_idle(a: ToyNode) -> None:
    """It goes once its answer has ended."""
    await a.post()
    await until(lambda: a.backend.generations and a.backend.generations[0].opened.is_set())
    assert not await a.ownership.give_idle()
    assert a.ownership.holds("s")
    a.backend.generations[0].say("done")
    a.backend.generations[0].finish()
    await a.ownership.one_ended(5)
    assert await a.ownership.give_idle()


async def test_an_interrupted_answer_finds_another_node(a: ToyNode, b: ToyNode) -> None:
    """The answer gets its end here, where its viewers are; then the others look after the session."""
    await a.post()
    await until(lambda: a.backend.generations and a.backend.generations[0].opened.is_set())
    log, stream = a.estate.logs["s"], a.stream()
    a.backend.generations[0].say("so")
    await until(lambda: stream.tokens)
    await a.ownership.give_all(wait=5)
    assert stream.outcome is Outcome.INTERRUPTED
    assert [entry.name for entry in log.read(0).entries] == ["start", "status", "status", "token", "end"]
    assert await b.ownership.reap(10) == 1
    assert b.taken == ["s"]


async def test_an_answer_without_text_is_left_to_another_node(a: ToyNode, b: ToyNode) -> None:
    """It has no end here: the next owner starts it again, once it holds the session."""
    await a.post()
    await until(lambda: a.backend.generations and a.backend.generations[0].opened.is_set())
    log, stream = a.estate.logs["s"], a.stream()
    await a.ownership.give_all(wait=5)
    assert stream.lost
    assert not a.backend.generations[0].is_open
    assert [entry.name for entry in log.read(0).entries] == ["start", "status"]
    assert b.estate.gone_on == []
    assert await b.ownership.reap(10) == 1
    assert b.estate.gone_on == ["s"]


@pytest.mark.parametrize("idle", [True, False])
async def test_a_move_waits_for_a_prompt_that_is_being_stored(
    a: ToyNode, b: ToyNode, monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    """Else the prompt would be stored, and nobody would answer it. Then its answer is like any that runs."""
    stored, go_on, admit = asyncio.Event(), asyncio.Event(), a.registry.history.admit

    async def slow_admit(exchange: Exchange) -> Admission:
        admission = await admit(exchange)
        stored.set()
        await go_on.wait()
        return admission

    monkeypatch.setattr(a.registry.history, "admit", slow_admit)
    posting = asyncio.ensure_future(a.post())
    await stored.wait()
    giving = asyncio.ensure_future(a.ownership.give("s", wait=5, idle=idle))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not giving.done()
    go_on.set()
    registered = await posting
    await giving
    state = await a.registry.stream_state(OWNER, registered.stream_id)
    assert state.outcome is None  # it runs, or is left to the next owner
    assert a.ownership.holds("s") is idle
    assert await b.ownership.reap(10) == (not idle)


async def test_a_session_that_moves_takes_no_prompt(a: ToyNode) -> None:
    """Whoever sends one is sent to the new owner, and is not told that the chat is deleted."""
    await a.post()
    session = a.registry.find("s")
    assert session is not None
    session.move()
    with pytest.raises(LeaseLost):
        await a.post()


async def test_a_request_during_the_move_waits_for_it(a: ToyNode, b: ToyNode) -> None:
    """And is then sent elsewhere, since this node leaves."""
    await a.post()
    a.ownership.claiming = False
    stream = a.stream()
    giving = asyncio.ensure_future(a.ownership.give_all(wait=5))
    await until(lambda: stream.cancelled)
    lease = await a.ownership.owner("s")  # the move may be over by now: in either case it is not this node's
    assert (lease.node, lease.epoch) == (b.node, UNOWNED)
    await giving


async def test_a_node_that_leaves_takes_nothing(a: ToyNode, b: ToyNode) -> None:
    """It names the owner, or another node. Alone it says that it cannot."""
    await b.ownership.owner("s")
    a.ownership.claiming = False
    assert await a.ownership.owner("s") == Lease("s", b.node, 1, True)
    assert await a.ownership.owner("t") == Lease("t", b.node, UNOWNED, True)
    assert await a.ownership.reap(10) == 0
    await b.leases.leave()
    with pytest.raises(HistoryUnavailable, match="shutting down"):
        await a.ownership.owner("t")


async def test_a_node_that_leaves_names_one_that_may_take_it(
    a: ToyNode, b: ToyNode, table: LeaseTable
) -> None:
    """Others that leave, too, have refused it. If all have, one of them may have changed its mind."""
    c = await ToyNode("c", table).join()
    a.ownership.claiming = False
    for session in map(str, range(20)):
        lease = await a.ownership.owner(session, avoid={b.node.id})
        assert (lease.node, lease.epoch) == (c.node, UNOWNED)
    assert (await a.ownership.owner("s", avoid={b.node.id, c.node.id})).node in (b.node, c.node)


async def test_a_node_that_was_not_renewed_trusts_nothing(a: ToyNode, b: ToyNode, clock: Clock) -> None:
    """Its leases may be others' by now, and its running answers end."""
    await a.post()
    stream = a.stream()
    a.forget()
    assert not a.ownership.holds("s")
    with pytest.raises(LeaseLost):
        await a.ownership.owner("s")  # PostgreSQL says that it is this node's
    clock.now = 200.0
    await b.leases.renew()
    clock.now = 301.0
    assert await a.ownership.owner("s") == Lease("s", b.node, UNOWNED, True)
    assert await b.ownership.reap(10) == 1
    assert await a.ownership.owner("s") == Lease("s", b.node, 2, True)
    a.lose_all()
    await asyncio.wait_for(stream.ended, 5)
    assert len(a.ownership) == 0


async def test_an_answer_can_be_stopped_without_the_database(a: ToyNode, clock: Clock) -> None:
    """It runs here, and the log takes what it says. Nothing else is done in a session of which nobody is sure."""
    registered = await a.post()
    lease = await a.ownership.owner("s")
    await a.ownership.owner("t")
    a.forget()
    a.leases.away = True
    assert await a.ownership.owner("s") == lease
    with pytest.raises(HistoryUnavailable, match="away"):
        await a.ownership.owner("t")
    state = await a.registry.stop(OWNER, registered.stream_id, wait=5)
    assert state.outcome is Outcome.STOPPED


async def test_what_was_given_up_for_lost_is_an_orphan(a: ToyNode, b: ToyNode) -> None:
    """If nobody asks for it here: its answers were cut off, and somebody has to end them."""
    await a.post()
    stream = a.stream()
    a.lose_all()
    await asyncio.wait_for(stream.ended, 5)
    await a.ownership.sweep()
    assert await b.ownership.reap(10) == 1


async def test_a_log_that_is_away_holds_up_no_others(a: ToyNode, b: ToyNode, clock: Clock) -> None:
    """Sessions of a dead node are taken over where a log can be opened; the others when it is back."""
    for name in ("away", "here", "there"):
        await a.ownership.owner(name)
    clock.now = 200.0
    await b.leases.renew()
    clock.now = 301.0
    b.estate.away = {"away"}
    for _ in range(4):  # the one that waits may be the first of all
        await b.ownership.reap(1)
    assert sorted(b.ownership.epochs()) == ["here", "there"]
    b.estate.away.clear()
    assert await b.ownership.reap(1) == 1
    assert b.ownership.holds("away")


async def test_without_its_database_a_node_loses_what_no_log_refuses(a: ToyNode) -> None:
    """Another node may own it, and nothing would tell; what a log still refuses goes on."""
    for name in ("away", "here"):
        await a.ownership.owner(name)
    a.estate.away = {"away"}
    assert a.ownership.lose_unlogged()
    assert list(a.ownership.epochs()) == ["here"]
    assert not a.ownership.lose_unlogged()


async def test_what_was_given_up_for_lost_begins_anew(a: ToyNode) -> None:
    """Its answers were cut off, so it needs a new epoch although no other node took it."""
    await a.post()
    stream = a.stream()
    a.lose_all()
    await asyncio.wait_for(stream.ended, 5)
    assert await a.ownership.owner("s") == Lease("s", a.node, 2, True)
    assert a.taken == ["s"]
    assert await a.ownership.owner("s") == Lease("s", a.node, 2, True)


async def test_what_could_not_be_released_begins_anew(a: ToyNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log was dropped, with entries on their way: it is not opened under the same epoch again."""

    async def fail(_lease: Lease, *, unfinished: bool = False) -> None:
        raise AWAY

    await a.ownership.owner("s")
    with monkeypatch.context() as patch:
        patch.setattr(a.leases, "release", fail)
        await a.ownership.give("s")
    assert not a.ownership.holds("s")
    assert await a.ownership.owner("s") == Lease("s", a.node, 2, True)


async def test_many_dead_sessions_are_shared_out(
    a: ToyNode, b: ToyNode, table: LeaseTable, clock: Clock
) -> None:
    """Each has one new owner, and no session is left, although one of them cannot be opened at first."""
    dead = await ToyNode("dead", table).join()
    for number in range(40):
        await dead.ownership.owner(f"s{number}")
    clock.now = 200.0
    await asyncio.gather(a.leases.renew(), b.leases.renew())
    clock.now = 301.0
    a.estate.failure = AWAY
    assert await a.ownership.reap(7) == 0
    a.estate.failure = None
    both = await asyncio.gather(a.ownership.reap(100), b.ownership.reap(100))
    assert sum(both) == 40
    assert not a.ownership.epochs().keys() & b.ownership.epochs().keys()


async def test_what_nobody_uses_is_given_up(a: ToyNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, unless it is live."""
    await a.ownership.owner("s")
    await a.ownership.owner("t")
    a.registry.session("t")
    await a.ownership.sweep()
    assert len(a.ownership) == 2
    later = asyncio.get_running_loop().time() + KEPT_SECONDS + 1
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: later)
    await a.ownership.sweep()
    assert list(a.ownership.epochs()) == ["t"]


async def test_a_node_that_leaves_gives_up_what_it_does_not_know_to_have(a: ToyNode, b: ToyNode) -> None:
    """When somebody asks for it: no other node could take it."""
    a.leases.loses_reply = True
    with pytest.raises(HistoryUnavailable):
        await a.ownership.owner("s")
    a.ownership.claiming = False
    assert await a.ownership.owner("s") == Lease("s", b.node, UNOWNED, True)
    assert await b.ownership.owner("s") == Lease("s", b.node, 2, True)


async def test_what_is_being_stored_or_deleted_keeps_its_lease(
    a: ToyNode, b: ToyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import has no live session, and may take hours. Past the bound of a drain another node clears it away."""
    await a.ownership.owner("s")
    a.estate.working.add("s")
    later = asyncio.get_running_loop().time() + KEPT_SECONDS + 1
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: later)
    await a.ownership.sweep()
    assert not await a.ownership.give_idle()
    assert a.ownership.holds("s", 1)
    await a.ownership.give_all(wait=0)
    assert len(a.ownership) == 0
    assert await b.ownership.reap(10) == 1


async def test_a_lease_that_came_with_a_lost_reply_is_found(
    a: ToyNode, b: ToyNode, table: LeaseTable
) -> None:
    """Its node does not know that it has it, and the others send everybody there."""
    a.leases.loses_reply = True
    with pytest.raises(HistoryUnavailable):
        await a.ownership.owner("s")
    assert table.leases["s"] == Row("a", 1)
    await a.ownership.sweep()
    assert (await b.ownership.owner("s")).node == b.node
    a.leases.loses_reply = True
    with pytest.raises(HistoryUnavailable):
        await a.ownership.owner("t")
    assert (await a.ownership.owner("t")).node == a.node
