"""The contract of `Leases`, in memory and on a real PostgreSQL: who owns a session, and who may take it."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from asyncpg.pool import PoolConnectionProxy

from app.chat.errors import HistoryUnavailable
from app.cluster.ports import Lease, Leases, Node
from app.history.fence import Fence
from app.history.leases import PostgresLeases
from app.history.opening import opened
from tests.doubles.leases import LeaseTable, MemoryLeases
from tests.history.samples import OWNER, exchange
from tests.support.postgres import Postgres, ask
from tests.support.recorder import Recorder
from tests.support.waiting import until_told

TTL = 300.0  # s; longer than any test, which makes nodes expire by itself
A, B, C = (Node(name, f"http://{name}:8000") for name in "abc")


class Cluster(ABC):
    """Nodes with one table."""

    async def node(self, node: Node) -> Leases:
        """A node that has joined."""
        leases = await self.apart()
        await leases.join(node, TTL)
        return leases

    @abstractmethod
    async def apart(self) -> Leases:
        """A node that has not joined."""

    @abstractmethod
    async def store(self, session: str, outcome: str | None) -> None:
        """Let there be a session with one answer."""

    @abstractmethod
    async def expire(self, node: Node) -> None:
        """Let a node's time run out."""


class MemoryCluster(Cluster):
    def __init__(self) -> None:
        self.table = LeaseTable(lambda: 0.0)

    async def apart(self) -> Leases:
        return MemoryLeases(self.table)

    async def store(self, session: str, outcome: str | None) -> None:
        if outcome == "complete":
            self.table.idle.add(session)

    async def expire(self, node: Node) -> None:
        self.table.nodes[node.id] = node, -1.0


class PostgresCluster(Cluster):
    def __init__(self, url: str, closing: AsyncExitStack) -> None:
        self.url = url
        self.closing = closing

    async def apart(self) -> Leases:
        return await self.closing.enter_async_context(PostgresLeases.opened(self.url, Fence()))

    async def store(self, session: str, outcome: str | None) -> None:
        now = "2026-01-01T00:00:00.000+00:00"
        await self.run("INSERT INTO sessions VALUES ($1, 'alice', 'title', $2, $2)", session, now)
        await self.run(
            "INSERT INTO streams (stream_id, session_id, message_id, node, model, status, outcome, tokens, duration_ms,"
            " upstream_closed) VALUES ($1, $2, $1, 1, 'model', 'ended', $3, 0, 0, true)",
            f"stream of {session}",
            session,
            outcome,
        )

    async def expire(self, node: Node) -> None:
        await self.run("UPDATE nodes SET expires_at = clock_timestamp() WHERE node_id = $1", node.id)

    async def run(self, statement: str, *values: object) -> object:
        return await ask(self.url, statement, *values)


@pytest.fixture
async def on_postgres(postgres: Postgres, tmp_path: Path) -> AsyncIterator[PostgresCluster]:
    """A cluster on an empty database."""
    url = await postgres.database()
    async with AsyncExitStack() as closing:
        await closing.enter_async_context(opened(url, tmp_path, logger=Recorder(), fence=Fence()))
        yield PostgresCluster(url, closing)


@pytest.fixture(params=["memory", pytest.param("postgresql", marks=pytest.mark.slow)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """A cluster of each kind."""
    if request.param == "memory":
        return MemoryCluster()
    found: Cluster = request.getfixturevalue("on_postgres")
    return found


async def test_a_free_session_is_taken_once(cluster: Cluster) -> None:
    """Under the first epoch; whoever comes later gets the owner's lease."""
    a, b = await cluster.node(A), await cluster.node(B)
    assert await a.find("s") is None
    assert await a.acquire("s") == Lease("s", A, 1, True)
    assert await b.acquire("s") == Lease("s", A, 1, True) == await b.find("s")
    assert await a.acquire("s") == Lease("s", A, 1, True)


async def test_many_at_once_agree(cluster: Cluster) -> None:
    """There is one owner, and everybody is told the same."""
    nodes = [await cluster.node(node) for node in (A, B, C)]
    for number in range(20):
        leases = await asyncio.gather(*(node.acquire(f"s{number}") for node in nodes for _ in range(3)))
        assert len(set(leases)) == 1
        assert leases[0].epoch == 1


async def test_many_at_once_take_from_an_expired_node(cluster: Cluster) -> None:
    """The epoch rises by one, and one of them has it."""
    a, b, c = [await cluster.node(node) for node in (A, B, C)]
    for number in range(20):
        await a.acquire(f"s{number}")
    await cluster.expire(A)
    for number in range(20):
        leases = await asyncio.gather(*(node.acquire(f"s{number}") for node in (b, c) for _ in range(3)))
        assert len(set(leases)) == 1
        assert leases[0].epoch == 2
        assert leases[0].node in (B, C)


async def test_force_names_the_epoch(cluster: Cluster) -> None:
    """It takes from a living node, and only what the caller knew."""
    a, b, c = [await cluster.node(node) for node in (A, B, C)]
    await a.acquire("s")
    assert await b.acquire("s", over=0) == Lease("s", A, 1, True)
    assert await b.acquire("s", over=1) == Lease("s", B, 2, True)
    assert await c.acquire("s", over=1) == Lease("s", B, 2, True)
    assert await a.lost({"s": 1}) == {"s"}


async def test_a_released_session_is_free_and_its_epoch_is_not_used_again(cluster: Cluster) -> None:
    """Not even by the same node: what it still writes under the old one is refused."""
    a, b = await cluster.node(A), await cluster.node(B)
    lease = await a.acquire("s")
    await a.release(lease)
    assert await b.find("s") is None
    assert await a.acquire("s") == Lease("s", A, 2, True)
    await a.release(lease)  # an old one changes nothing
    assert await b.acquire("s") == Lease("s", A, 2, True)
    await b.release(Lease("s", B, 2, True))  # nor does another's
    assert await b.find("s") == Lease("s", A, 2, True)


async def test_many_are_released_at_once(cluster: Cluster) -> None:
    """Without effect on those that were lost meanwhile, or that are held under another epoch."""
    a, b = await cluster.node(A), await cluster.node(B)
    leases = [await a.acquire(session) for session in ("s", "t", "u", "v")]
    await b.acquire("t", over=1)
    await a.release_all([*leases[:2], leases[2]._replace(epoch=7)])
    assert await b.find("s") is None
    assert await a.find("t") == Lease("t", B, 2, True)
    assert {lease.session for lease in await a.mine()} == {"u", "v"}
    await a.release_all([])
    assert await b.acquire("s") == Lease("s", B, 2, True)


async def test_an_expired_node(cluster: Cluster) -> None:
    """Is no node any more; its leases are orphans, until it lives again or another takes them."""
    a, b = await cluster.node(A), await cluster.node(B)
    await cluster.store("s", None)
    await cluster.store("t", "interrupted")
    await a.acquire("s")
    await a.acquire("t")
    assert await a.renew()
    assert await b.orphans(9) == []
    await cluster.expire(A)
    assert await b.nodes() == [B]
    assert set(await b.orphans(9)) == {Lease("s", A, 1, False), Lease("t", A, 1, False)}
    assert len(await b.orphans(1)) == 1
    assert await b.find("s") == Lease("s", A, 1, False)
    assert await b.acquire("s") == Lease("s", B, 2, True)
    assert not await a.renew()
    assert await a.lost({"s": 1, "t": 1}) == {"s"}
    assert await b.nodes() == [A, B]
    assert await b.orphans(9) == []
    assert await b.acquire("t") == Lease("t", A, 1, True)
    assert await a.renew()


async def test_idle_sessions_of_an_expired_node(cluster: Cluster) -> None:
    """Are free, and nobody has to take them over. What was released unfinished is an orphan in any case."""
    a, b = await cluster.node(A), await cluster.node(B)
    for session, outcome in (("ended", "complete"), ("released", "complete"), ("runs", None)):
        await cluster.store(session, outcome)
        lease = await a.acquire(session)
        if session == "released":
            await a.release(lease, unfinished=True)
    await cluster.expire(A)
    assert {lease.session for lease in await b.orphans(9)} == {"runs", "released"}
    assert await b.find("ended") is None
    assert not await a.renew()
    assert await a.lost({"ended": 1, "runs": 1}) == {"ended"}
    assert await b.acquire("ended") == Lease("ended", B, 2, True)


async def test_a_node_that_leaves(cluster: Cluster) -> None:
    """Expires at once."""
    a, b = await cluster.node(A), await cluster.node(B)
    await a.acquire("s")
    await a.leave()
    assert await b.nodes() == [B]
    assert await b.acquire("s") == Lease("s", B, 2, True)


async def test_nothing_is_lost_of_nothing(cluster: Cluster) -> None:
    """And a session that nobody has ever owned is lost."""
    a = await cluster.node(A)
    assert await a.lost({}) == set()
    assert await a.lost({"never": 1}) == {"never"}


# ---- PostgreSQL alone ----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_node_expires_by_the_clock_of_postgresql(on_postgres: PostgresCluster) -> None:
    """Without anybody's doing, and a node whose row is gone is expired, too."""
    a, b = await on_postgres.node(A), await on_postgres.apart()
    await b.join(B, 0.0)
    assert await a.nodes() == [A]
    assert not await b.renew()
    await on_postgres.run("DELETE FROM nodes WHERE node_id = 'a'")
    assert not await a.renew()
    assert await a.renew()


@pytest.mark.slow
async def test_a_renewal_and_a_takeover_at_once_agree(on_postgres: PostgresCluster) -> None:
    """Either the node lives and keeps the session, or it learns that it had expired and what it lost."""
    a, b = await on_postgres.node(A), await on_postgres.node(B)
    for number in range(40):
        mine = await a.acquire(f"s{number}")
        await on_postgres.expire(A)
        was_alive, taken = await asyncio.gather(a.renew(), b.acquire(f"s{number}"))
        assert not was_alive
        lost = await a.lost({mine.session: mine.epoch})
        assert lost == ({mine.session} if taken.node == B else set())


@pytest.mark.slow
async def test_a_takeover_waits_for_a_renewal_that_has_begun(on_postgres: PostgresCluster) -> None:
    """Else the node would live again, and believe that it still owned what is being taken from it."""
    a, b = await on_postgres.node(A), await on_postgres.node(B)
    await a.acquire("s")
    await on_postgres.expire(A)
    renewing = await asyncpg.connect(on_postgres.url)
    try:
        async with renewing.transaction():
            await renewing.execute(
                "UPDATE nodes SET expires_at = clock_timestamp() + interval '1 hour' WHERE node_id = 'a'"
            )
            taking = asyncio.create_task(b.acquire("s"))
            blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            await until_told(lambda: on_postgres.run(blocked), within=30)
    finally:
        await renewing.close()
    assert await taking == Lease("s", A, 1, True)


@pytest.mark.slow
async def test_unfinished_answers_come_first(on_postgres: PostgresCluster) -> None:
    """However old the lease is. Then what is to be continued or deleted."""
    a, b = await on_postgres.node(A), await on_postgres.node(B)
    for session, outcome in (
        ("hidden", "complete"),
        ("cut", "interrupted"),
        ("idle", "complete"),
        ("runs", None),
    ):
        await on_postgres.store(session, outcome)
        await a.acquire(session)
    await on_postgres.run("UPDATE sessions SET owner = '\x1fhidden' WHERE session_id = 'hidden'")
    await on_postgres.expire(A)
    assert [lease.session for lease in await b.orphans(1)] == ["runs"]
    assert [lease.session for lease in await b.orphans(9)] == ["runs", "hidden", "cut"]


@pytest.mark.slow
async def test_a_session_that_is_being_written_is_not_released(on_postgres: PostgresCluster) -> None:
    """Its node had expired, but did not know that yet: an answer would be nobody's that begins meanwhile."""
    a, b = await on_postgres.node(A), await on_postgres.node(B)
    await on_postgres.store("s", "complete")
    await a.acquire("s")
    await on_postgres.expire(A)
    writing = await asyncpg.connect(on_postgres.url)
    try:
        async with writing.transaction():
            await writing.fetch("SELECT FROM leases FOR SHARE")
            assert await b.orphans(9) == []
            await writing.execute("UPDATE streams SET outcome = NULL")
    finally:
        await writing.close()
    assert [lease.session for lease in await b.orphans(9)] == ["s"]


@pytest.mark.slow
async def test_a_node_that_is_paused_while_it_releases_them_keeps_nobody_from_them(
    on_postgres: PostgresCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has locked up to two thousand idle sessions of an expired node: PostgreSQL ends its transaction."""
    a, b, c = await on_postgres.node(A), await on_postgres.node(B), await on_postgres.node(C)
    await on_postgres.store("s", "complete")
    await a.acquire("s")
    await on_postgres.expire(A)
    paused, again = asyncio.Event(), asyncio.Event()
    execute = PoolConnectionProxy.execute

    async def pause(connection: Any, *of: Any) -> Any:
        paused.set()
        await again.wait()
        return await execute(connection, *of)

    monkeypatch.setattr(PoolConnectionProxy, "execute", pause)  # only the last statement comes this way
    releasing = asyncio.create_task(b.orphans(9))
    await asyncio.wait_for(paused.wait(), 30)
    try:
        assert (await c.acquire("s")).node == C  # raises after its bound
    finally:
        again.set()
        with pytest.raises(HistoryUnavailable):
            await releasing
    assert await b.orphans(9) == []


@pytest.mark.slow
async def test_leases_of_deleted_sessions_are_removed(on_postgres: PostgresCluster, tmp_path: Path) -> None:
    """A day after they were released; those of sessions that exist keep their epoch."""
    a = await on_postgres.node(A)
    fence = Fence()
    own = await on_postgres.closing.enter_async_context(PostgresLeases.opened(on_postgres.url, fence))
    await own.join(B, TTL)
    await own.acquire("kept")
    async with opened(on_postgres.url, tmp_path, logger=Recorder(), fence=fence) as history:
        await history.admit(exchange("kept"))
        assert await history.check(OWNER, "kept")
    for session in ("kept", "gone", "held"):
        lease = await (own if session == "kept" else a).acquire(session)
        if session != "held":
            await (own if session == "kept" else a).release(lease)
    await a.tidy()
    assert await on_postgres.run("SELECT count(*) FROM leases") == 3
    await on_postgres.run("UPDATE leases SET changed_at = changed_at - interval '2 days'")
    await a.tidy()
    those = "SELECT string_agg(session_id, ' ' ORDER BY session_id) FROM leases WHERE session_id <> ''"
    assert await on_postgres.run(those) == "held kept"


@pytest.mark.slow
async def test_epochs_of_a_deleted_session_are_not_given_again(on_postgres: PostgresCluster) -> None:
    """However long ago that was: else a cursor of its log would be taken for one of a new session with its id."""
    a = await on_postgres.node(A)
    for epoch in (1, 2, 3):
        lease = await a.acquire("s")
        assert lease.epoch == epoch
        await a.release(lease)
    for _ in range(2):
        await on_postgres.run("UPDATE leases SET changed_at = changed_at - interval '2 days'")
        await a.tidy()
        assert await on_postgres.run("SELECT count(*) FROM leases WHERE session_id = 's'") == 0
    assert ((await a.acquire("s")).epoch, (await a.acquire("t")).epoch) == (4, 4)
    assert await a.find("") is None
    assert await a.orphans(10) == []


@pytest.mark.slow
async def test_without_postgresql_nothing_is_known(on_postgres: PostgresCluster) -> None:
    """An error that says so, within a bound."""
    a = await on_postgres.node(A)
    blocking = await asyncpg.connect(on_postgres.url)
    try:
        async with blocking.transaction():
            await blocking.execute("LOCK TABLE leases")
            with pytest.raises(HistoryUnavailable):
                await a.acquire("s")
    finally:
        await blocking.close()
    assert (await a.acquire("s")).node == A


@pytest.mark.slow
async def test_a_connection_that_ends_in_the_middle(
    on_postgres: PostgresCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver calls that an internal error, if it was being given back meanwhile."""
    a = await on_postgres.node(A)

    async def torn(*_: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "fetch", torn)
        with pytest.raises(HistoryUnavailable):
            await a.find("s")
    assert await a.find("s") is None


@pytest.mark.slow
async def test_the_clock_of_all_nodes(on_postgres: PostgresCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is PostgreSQL's, from the start and after each renewal, whatever the machine's says."""
    before = await on_postgres.run("SELECT extract(epoch FROM clock_timestamp())::float8")
    assert isinstance(before, float)
    monkeypatch.setattr("app.history.leases.time", SimpleNamespace(time=lambda: 0.0))
    opening = PostgresLeases.opened(on_postgres.url, Fence())
    leases = await on_postgres.closing.enter_async_context(opening)
    assert leases.now() == 0.0
    await leases.join(A, TTL)
    joined = leases.now()
    await leases.renew()
    assert before < joined < leases.now()


@pytest.mark.slow
async def test_the_nodes_that_died(on_postgres: PostgresCluster) -> None:
    """Those that expired without leaving, until another starts at their address; a living one is not among them."""
    a, b = await on_postgres.node(A), await on_postgres.node(B)
    await on_postgres.node(C)
    asks = await on_postgres.apart()
    assert isinstance(asks, PostgresLeases)
    assert await asks.expired() == []
    await b.leave()
    await on_postgres.expire(A)
    before = time.time()
    [dead] = await asks.expired()
    assert dead.node == A
    assert abs(dead.since - before) < TTL
    await a.renew()
    assert await asks.expired() == []
    await on_postgres.expire(A)
    assert [each.node for each in await asks.expired()] == [A]
    await on_postgres.node(Node("a2", A.url))
    assert await asks.expired() == []
