"""A node's life: it renews itself, loses everything if it cannot, and looks after the sessions of the dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.cluster import membership
from tests.doubles.estate import ToyNode
from tests.doubles.leases import LeaseTable, Row
from tests.support.waiting import until

TTL = 0.6  # s


@pytest.fixture
async def table() -> LeaseTable:
    """The database, whose clock is the loop's."""
    return LeaseTable(asyncio.get_running_loop().time)


@pytest.fixture
async def a(table: LeaseTable) -> AsyncIterator[ToyNode]:
    """A node that lives."""
    node = ToyNode("a", table, ttl=TTL)
    await node.membership.join(node.node)
    yield node
    await node.membership.leave()
    await node.registry.close()


async def test_a_node_lives_on(a: ToyNode, table: LeaseTable) -> None:
    """It is renewed before its time runs out, and then owns what it owned."""
    await a.ownership.owner("s")
    first = a.ownership.sure_until
    await until(lambda: a.ownership.sure_until > first + TTL, within=30)
    assert table.is_alive("a")
    assert a.ownership.holds("s", 1)
    assert a.membership.trouble == ""


async def test_a_long_time_to_live_is_renewed_as_often(
    table: LeaseTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a node hears soon, too, what others took by force. Without an answer its leases are not confirmed."""
    monkeypatch.setattr("app.cluster.membership.RENEW_SECONDS", 0.1)
    node = ToyNode("a", table, ttl=300.0)
    assert not node.ownership.is_confirmed
    await node.membership.join(node.node)
    first = node.ownership.sure_until
    await until(lambda: node.ownership.sure_until > first, within=30)
    await until(lambda: node.ownership.is_confirmed, within=30)
    node.leases.away = True
    await until(lambda: not node.ownership.is_confirmed, within=30)
    assert node.ownership.is_sure
    await node.membership.leave()
    await node.registry.close()


async def test_nodes_know_each_other(a: ToyNode, table: LeaseTable) -> None:
    """As of the last renewal."""
    assert a.membership.peers == []
    b = ToyNode("b", table, ttl=TTL)
    await b.membership.join(b.node)
    assert b.membership.peers == [a.node]
    await until(lambda: a.membership.peers == [b.node], within=30)
    await b.membership.leave()
    await until(lambda: a.membership.peers == [], within=30)


@pytest.mark.parametrize("log_is_up", [True, False])
async def test_a_node_without_its_database_is_sure_of_nothing(a: ToyNode, log_is_up: bool) -> None:
    """By its own clock, before another node may take its sessions. Its answers go on as long as the log is a fence."""
    await a.post()
    stream = a.stream()
    a.estate.is_up = log_is_up
    a.leases.away = True
    sure_until = a.ownership.sure_until
    await until(lambda: a.membership.trouble, within=30)
    assert asyncio.get_running_loop().time() >= sure_until
    assert "PostgreSQL does not respond" in a.membership.trouble
    assert not a.ownership.holds("s")
    assert stream.cancelled is not log_is_up
    assert len(a.ownership) == log_is_up
    assert a.logger.events.count("node_not_renewed") == 1
    a.leases.away = False
    await until(lambda: not a.membership.trouble, within=30)
    assert a.ownership.holds("s", 1) is log_is_up
    a.estate.is_up = True
    # Nobody has taken it. What was lost here begins anew.
    assert (await a.ownership.owner("s")).epoch == (1 if log_is_up else 2)


async def test_what_a_node_has_given_up_for_lost_is_free_at_once(a: ToyNode, table: LeaseTable) -> None:
    """As soon as it can say so: its leases live again with it, and it answers nothing in these sessions."""
    await a.post()
    a.estate.is_up = False
    a.leases.away = True
    await until(lambda: len(a.ownership) == 0, within=30)
    a.leases.away = False
    await until(lambda: table.leases["s"] == Row("", 1), within=30)


async def test_dead_nodes_are_looked_after(a: ToyNode, table: LeaseTable) -> None:
    """Without that anybody asks for their sessions."""
    dead = await ToyNode("dead", table, ttl=TTL).join()
    a.estate.left = 1
    await dead.ownership.owner("s")
    await until(lambda: a.ownership.holds("s", 2), within=30)
    assert a.taken == ["s"]
    assert a.logger.fields["session_taken_over"]["interrupted"] == 1


@pytest.mark.slow
async def test_a_node_that_had_expired_gives_the_others_time(table: LeaseTable) -> None:
    """PostgreSQL was away for all of them: whoever reaches it first does not take the others for dead."""
    loop = asyncio.get_running_loop()
    a, b = ToyNode("a", table, ttl=3.0), ToyNode("b", table, ttl=3.0)
    for node in (a, b):
        await node.membership.join(node.node)
    dead = await ToyNode("dead", table, ttl=3.0).join()
    await dead.ownership.owner("t")
    await b.post()
    for node in (a, b):
        node.leases.away = True
    await until(lambda: not any(table.is_alive(name) for name in ("a", "b", "dead")), within=30)
    a.leases.away = False
    await until(lambda: table.is_alive("a") and a.ownership.is_sure, within=30)
    renewed = loop.time()
    await until(lambda: loop.time() > renewed + 0.8, within=30)  # it has looked for dead nodes meanwhile
    b.leases.away = False
    await until(lambda: table.leases["t"].node_id != "dead", within=30)
    assert b.ownership.holds("s", 1)
    assert not b.stream().cancelled
    for node in (a, b):
        await node.membership.leave()
        await node.registry.close()
    await dead.registry.close()


async def test_a_node_that_leaves_is_not_waited_for(a: ToyNode, table: LeaseTable) -> None:
    """What it could not give up is taken at once."""
    b = ToyNode("b", table, ttl=300.0)
    await b.membership.join(b.node)
    await b.ownership.owner("s")
    await b.membership.leave()
    await b.membership.leave()
    assert b.membership.trouble
    await until(lambda: a.ownership.holds("s", 2), within=30)


async def test_a_look_goes_on_until_nothing_is_left(
    table: LeaseTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few sessions are taken at a time: each pause in between would be one more for whoever waits."""
    monkeypatch.setattr("app.cluster.membership.ORPHANS", 1)
    monkeypatch.setattr("app.cluster.membership.LOOK_SECONDS", pause := 0.5)
    dead = await ToyNode("dead", table, ttl=TTL).join()
    sessions = [f"s{number}" for number in range(10)]
    for session in sessions:
        await dead.ownership.owner(session)
    a = ToyNode("a", table, ttl=30.0)
    await a.membership.join(a.node)
    await until(lambda: bool(a.ownership.epochs()), within=30)
    began = asyncio.get_running_loop().time()
    await until(lambda: len(a.ownership.epochs()) == len(sessions), within=30)
    assert asyncio.get_running_loop().time() - began < pause * len(sessions) / 3
    await a.membership.leave()
    await a.registry.close()


async def test_a_node_that_had_expired_learns_what_it_lost(table: LeaseTable) -> None:
    """Before it is sure of anything again."""
    a = await ToyNode("a", table, ttl=0.0).join()
    a.ownership.sure_until = float("inf")
    await a.ownership.owner("s")
    b = await ToyNode("b", table).join()
    await b.ownership.owner("s")
    a.forget()
    a.membership.ttl = TTL
    a.leases.away = False
    await a.membership.join(a.node)
    await until(lambda: not a.ownership.holds("s") and len(a.ownership) == 0, within=30)
    assert (await a.ownership.owner("s")).node == b.node
    await a.membership.leave()


async def test_rows_that_nobody_needs_are_deleted(table: LeaseTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then, and not only when a node joins: that may be once a year."""
    monkeypatch.setattr(membership, "TIDY_SECONDS", 0.01)
    a = ToyNode("a", table, ttl=TTL)
    await a.membership.join(a.node)
    await until(lambda: table.tidied > 1, within=30)
    await a.membership.leave()
    await a.registry.close()


async def test_a_long_sweep_holds_up_no_takeover(table: LeaseTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be thousands of sessions to give up."""
    monkeypatch.setattr(membership, "SWEEP_SECONDS", 0.01)
    sweeping = asyncio.Event()

    async def sweep() -> None:
        sweeping.set()
        await asyncio.Event().wait()

    a = ToyNode("a", table, ttl=TTL)
    monkeypatch.setattr(a.ownership, "sweep", sweep)
    await a.membership.join(a.node)
    await asyncio.wait_for(sweeping.wait(), 30)
    dead = await ToyNode("dead", table, ttl=TTL).join()
    await dead.ownership.owner("s")
    await until(lambda: a.ownership.holds("s", 2), within=30)
    await a.membership.leave()
    await a.registry.close()
