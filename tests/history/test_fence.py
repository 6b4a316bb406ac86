"""The write fence of a cluster: a node whose lease moved on cannot write into that session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec
import pytest
from sqlalchemy import Connection, Engine, event

from app.chat.errors import LeaseLost
from app.chat.growing_text import GrowingText
from app.chat.ports import Options
from app.chat.records import Seen, Unfinished
from app.chat.states import Outcome
from app.cluster.ports import Lease, Node
from app.history import sign
from app.history.errors import DatabaseUnusable
from app.history.fence import Fence
from app.history.leases import PostgresLeases
from app.history.opening import MEMORY, opened
from app.history.postgres import LET_GO, PostgresDatabase
from app.history.sql import SqlHistory
from app.history.statements import archive as archive_statements
from app.history.statements.deleted import read_times_left
from tests.history.archives import archive
from tests.history.samples import OWNER, ended, exchange
from tests.support.postgres import Postgres, ask
from tests.support.recorder import Recorder
from tests.support.waiting import until, until_told

pytestmark = pytest.mark.slow


class ClusterNode(NamedTuple):
    """A node with everything that it has of the database."""

    leases: PostgresLeases
    history: SqlHistory
    fence: Fence
    logger: Recorder
    lost: list[tuple[str, int]]


class Cluster:
    """Nodes on one database."""

    def __init__(self, url: str, folder: Path, closing: AsyncExitStack) -> None:
        self.url = url
        self.folder = folder
        self.closing = closing

    async def node(self, name: str) -> ClusterNode:
        """Start a node. It expires only if a test says so."""
        fence, logger, lost = Fence(), Recorder(), list[tuple[str, int]]()
        fence.on_lost = lambda session_id, epoch: lost.append((session_id, epoch))
        history = await self.closing.enter_async_context(
            opened(self.url, self.folder, logger=logger, fence=fence)
        )
        assert isinstance(history, SqlHistory)
        leases = await self.closing.enter_async_context(PostgresLeases.opened(self.url, fence))
        await leases.join(Node(name, f"http://{name}"), 300)
        return ClusterNode(leases, history, fence, logger, lost)

    async def run(self, statement: str, *values: object) -> object:
        """Ask the database behind everybody's back."""
        return await ask(self.url, statement, *values)


@pytest.fixture
async def cluster(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster without nodes."""
    async with AsyncExitStack() as closing:
        yield Cluster(await postgres.database(), tmp_path, closing)


async def taken(by: ClusterNode, session: str = "s") -> Lease:
    """Take a session from whoever has it."""
    found = await by.leases.find(session)
    return await by.leases.acquire(session, over=found.epoch if found else None)


async def interrupted(by: ClusterNode, *seen: Seen, goes_on: str | None = None) -> int:
    """Let a new owner end what an earlier one has left; return how many answers."""
    return await by.history.interrupt("s", await by.history.unfinished("s"), seen, goes_on=goes_on)


async def test_the_owner_writes(cluster: Cluster) -> None:
    """As a server without a cluster does."""
    a = await cluster.node("a")
    await taken(a)
    asked = exchange()
    await a.history.admit(asked)
    await a.history.finish(ended(asked), "said", "")
    await a.history.settle()
    assert await cluster.run("SELECT content FROM messages WHERE role = 'assistant'") == "said"
    assert (a.lost, a.logger.events) == ([], ["history_migrated"])


async def test_a_session_that_is_not_owned_is_not_written(cluster: Cluster) -> None:
    """Whoever forgot to take it is told; nothing is stored."""
    a = await cluster.node("a")
    with pytest.raises(LeaseLost):
        await a.history.admit(exchange())
    assert await cluster.run("SELECT count(*) FROM sessions") == 0


async def test_no_kind_of_write_passes_after_a_takeover(cluster: Cluster) -> None:
    """Those with a waiter are refused."""
    a, b = await cluster.node("a"), await cluster.node("b")
    await taken(a)
    asked = exchange()
    await a.history.admit(asked)
    await a.history.finish(ended(asked), "said", "")
    await a.history.settle()
    before = await a.history.archive(OWNER, "s")
    await taken(b)
    own = a.history
    for write in (
        lambda: own.admit(exchange()),
        lambda: own.rename(OWNER, "s", "another"),
        lambda: own.configure(OWNER, "s", Options(seed=1)),
        lambda: own.discard(asked.stream.stream_id),
        lambda: own.delete(OWNER, "s"),
    ):
        a.fence.hold(Lease("s", Node("a", ""), 1, True))  # it has not heard yet
        with pytest.raises(LeaseLost):
            await write()
    assert await b.history.archive(OWNER, "s") == before
    assert set(a.lost) == {("s", 1)}


async def test_an_answer_of_a_lost_session_goes_nowhere(cluster: Cluster) -> None:
    """Neither its growth nor its end; the new owner's word stands, and the old one reads it."""
    a, b = await cluster.node("a"), await cluster.node("b")
    await taken(a)
    asked = exchange()
    await a.history.admit(asked)
    texts = GrowingText(["so"])
    a.history.follow(asked.stream.stream_id, texts, GrowingText())
    await until_told(lambda: cluster.run("SELECT count(*) = 1 FROM pieces"), within=30)
    await taken(b)
    assert await interrupted(b) == 1
    texts.add([" on"])
    await until(lambda: a.lost == [("s", 1)], within=30)
    await a.history.finish(ended(asked), "so on and on", "")
    await a.history.settle()
    for node in (a, b):
        answer = (await node.history.messages(OWNER, "s"))[1]
        assert (answer.content, answer.outcome) == ("so", Outcome.INTERRUPTED)
        assert not (await node.history.stream(OWNER, asked.stream.stream_id)).upstream_closed
    assert await cluster.run("SELECT count(*) FROM pieces") == 0
    assert "history_fenced" in a.logger.events


async def test_other_sessions_of_the_batch_are_written(cluster: Cluster) -> None:
    """What is fenced takes nothing along."""
    a, b = await cluster.node("a"), await cluster.node("b")
    await taken(a, "s")
    await taken(a, "t")
    await taken(b, "s")
    lost, kept = await asyncio.gather(
        a.history.admit(exchange("s")), a.history.admit(exchange("t")), return_exceptions=True
    )
    assert isinstance(lost, LeaseLost)
    assert not isinstance(kept, BaseException)
    assert await cluster.run("SELECT string_agg(session_id, '') FROM sessions") == "t"


async def test_a_change_of_an_earlier_lease_stays_out(cluster: Cluster) -> None:
    """Also if the session has come back to the node since: another one has ended that answer."""
    a, b = await cluster.node("a"), await cluster.node("b")
    await taken(a)
    asked = exchange()
    await a.history.admit(asked)
    await taken(b)
    await interrupted(b)
    await taken(a)
    await a.history.finish(ended(asked), "too late", "")
    await a.history.settle()
    assert (await a.history.stream(OWNER, asked.stream.stream_id)).outcome is Outcome.INTERRUPTED
    await a.history.admit(exchange())
    assert await interrupted(a) == 0  # that one is alive


async def test_a_new_owner_ends_its_own_answers_of_an_earlier_lease(cluster: Cluster) -> None:
    """They are fenced, so nobody else will."""
    a, b = await cluster.node("a"), await cluster.node("b")
    await taken(a)
    asked = exchange()
    await a.history.admit(asked)
    await taken(b)
    await taken(a)
    alive = exchange()
    await a.history.admit(alive)
    assert await interrupted(a) == 1
    assert (await a.history.stream(OWNER, asked.stream.stream_id)).outcome is Outcome.INTERRUPTED
    left = "SELECT string_agg(stream_id, ' ') FROM streams WHERE outcome IS NULL"
    assert await cluster.run(left) == alive.stream.stream_id


async def test_a_takeover_stores_all_that_was_seen(cluster: Cluster) -> None:
    """The log is ahead of the disk: an answer that had its end there, and the running one after it."""
    a, b = await cluster.node("a"), await cluster.node("b")
    await taken(a)
    first, second = exchange(), exchange()
    await a.history.admit(first)
    await a.history.admit(second)
    await taken(b)
    state = msgspec.structs.replace(ended(first), outcome=Outcome.SUPERSEDED)
    seen = [
        Seen(first.stream.stream_id, GrowingText(["all", " of it"]), GrowingText(), state),
        Seen(second.stream.stream_id, GrowingText(["its begin"]), GrowingText()),
        Seen("another", GrowingText(["known already"]), GrowingText()),
    ]
    assert await interrupted(b, *seen) == 2
    answers = [message for message in await b.history.messages(OWNER, "s") if message.role == "assistant"]
    assert [(answer.content, answer.outcome) for answer in answers] == [
        ("all of it", Outcome.SUPERSEDED),
        ("its begin", Outcome.INTERRUPTED),
    ]


async def test_a_takeover_waits_for_what_is_being_written(cluster: Cluster) -> None:
    """So the new owner sees all of it: the transaction that checked a lease locks it."""
    a, b = await cluster.node("a"), await cluster.node("b")
    lease = await taken(a)
    blocking = await asyncpg.connect(cluster.url)
    waiting = "SELECT count(*) >= $1 FROM pg_locks WHERE NOT granted"
    try:
        async with blocking.transaction():
            await blocking.execute("LOCK TABLE messages IN EXCLUSIVE MODE")
            asking = asyncio.create_task(a.history.admit(exchange()))
            await until_told(lambda: cluster.run(waiting, 1), within=30)
            taking = asyncio.create_task(b.leases.acquire("s", over=lease.epoch))
            await until_told(lambda: cluster.run(waiting, 2), within=30)
            assert not taking.done()
    finally:
        await blocking.close()
    assert (await taking).node.id == "b"
    await asking
    assert len(await b.history.messages(OWNER, "s")) == 2


async def test_a_node_that_is_paused_while_it_writes_does_not_keep_its_sessions(cluster: Cluster) -> None:
    """PostgreSQL ends its transaction. Here a connection like the node's stands still."""
    a, b = await cluster.node("a"), await cluster.node("b")
    await taken(a)
    async with PostgresDatabase.opened(cluster.url, logger=Recorder(), shared=True) as database:
        found = await database.read(
            lambda connection: connection.exec_driver_sql(
                "SHOW idle_in_transaction_session_timeout"
            ).scalar_one()
        )
        assert found == "1s"
    paused = await asyncpg.connect(cluster.url, server_settings=LET_GO)
    try:
        await paused.execute("BEGIN")
        await paused.execute("SELECT 1 FROM leases FOR SHARE")
        assert (await b.leases.acquire("s", over=1)).node.id == "b"  # raises after its bound
    finally:
        paused.terminate()


async def test_what_is_unfinished(cluster: Cluster) -> None:
    """With all that it takes to run a prompt that waits: its options, and whether there is text already."""
    a, b = await cluster.node("a"), await cluster.node("b")
    await taken(a)
    options = Options(temperature=0.5, stop=["\n"])
    running, waiting = exchange(), msgspec.structs.replace(exchange(), options=options)
    for asked in (running, waiting):
        await a.history.admit(asked)
    a.history.follow(running.stream.stream_id, GrowingText(["so"]), GrowingText())
    await until_told(lambda: cluster.run("SELECT count(*) = 1 FROM pieces"), within=30)
    assert await a.history.unfinished("s") == []  # they are alive
    await taken(b)
    assert await b.history.unfinished("s") == [
        Unfinished(
            OWNER,
            "s",
            asked.stream.stream_id,
            asked.stream.message_id,
            "scripted/story",
            None,
            given,
            text,
            asked.created_at,
        )
        for asked, given, text in ((running, Options(), True), (waiting, options, False))
    ]


async def test_one_that_goes_on(cluster: Cluster) -> None:
    """It is this node's from then on; the next owner learns that it was started again."""
    a, b, c = [await cluster.node(name) for name in "abc"]
    await taken(a)
    older, asked = exchange(), exchange()
    for each in (older, asked):
        await a.history.admit(each)
    stream = asked.stream.stream_id
    await taken(b)
    assert await interrupted(b, goes_on=stream) == 1
    assert (await b.history.stream(OWNER, older.stream.stream_id)).outcome is Outcome.INTERRUPTED
    assert (await b.history.stream(OWNER, stream)).outcome is None
    b.history.take_up(asked)
    assert await b.history.unfinished("s") == []
    await taken(c)
    [left] = await c.history.unfinished("s")
    assert (left.stream_id, left.taken_up) == (stream, True)
    await taken(b)
    b.history.take_up(asked)
    b.history.follow(stream, GrowingText(["so"]), GrowingText())
    await until_told(lambda: cluster.run("SELECT count(*) = 1 FROM pieces"), within=30)
    await b.history.finish(ended(asked), "so it ends", "")
    await b.history.settle()
    messages = await c.history.messages(OWNER, "s")
    assert (messages[3].content, messages[3].outcome) == ("so it ends", Outcome.COMPLETE)


async def test_a_start_leaves_the_sessions_of_other_nodes_alone(cluster: Cluster) -> None:
    """Even if their connections are gone: the reaper takes them over by their leases."""
    async with AsyncExitStack() as dying:
        a = await Cluster(cluster.url, cluster.folder, dying).node("a")
        await taken(a)
        asked = exchange()
        await a.history.admit(asked)
    b = await cluster.node("b")
    assert b.logger.events == []  # such as `history_recovered`
    assert (await b.history.stream(OWNER, asked.stream.stream_id)).outcome is None
    await taken(b)
    assert await interrupted(b) == 1


async def test_a_start_ends_what_a_single_server_left(cluster: Cluster) -> None:
    """It has no lease, so no reaper would find it."""
    asked = exchange()
    async with opened(cluster.url, cluster.folder, logger=Recorder()) as single:
        await single.admit(asked)
    a = await cluster.node("a")
    assert a.logger.events == ["history_recovered"]
    assert (await a.history.stream(OWNER, asked.stream.stream_id)).outcome is Outcome.INTERRUPTED


async def test_a_single_server_ends_what_a_cluster_left(cluster: Cluster) -> None:
    """It is alone on the database, so no node will come for its leases."""
    async with AsyncExitStack() as dying:
        a = await Cluster(cluster.url, cluster.folder, dying).node("a")
        await taken(a)
        asked = exchange()
        await a.history.admit(asked)
    logger = Recorder()
    async with opened(cluster.url, cluster.folder, logger=logger, alone=True) as single:
        assert logger.events == ["history_recovered"]
        assert (await single.stream(OWNER, asked.stream.stream_id)).outcome is Outcome.INTERRUPTED


async def test_a_lost_session_is_forgotten(cluster: Cluster) -> None:
    """Although nothing of it is written any more: what the new owner did is read."""
    a, b = await cluster.node("a"), await cluster.node("b")
    await taken(a)
    asked = exchange()
    await a.history.admit(asked)
    a.history.follow(asked.stream.stream_id, GrowingText(), GrowingText())
    await taken(b)
    await interrupted(b)
    assert (await a.history.stream(OWNER, asked.stream.stream_id)).outcome is None
    a.history.lose("s", 1)
    assert (await a.history.stream(OWNER, asked.stream.stream_id)).outcome is Outcome.INTERRUPTED
    assert a.fence.epoch("s") is None
    await taken(a)
    a.history.lose("s", 1)  # again, and late
    assert a.fence.epoch("s") == 3


async def test_a_deletion_goes_on_at_the_new_owner(cluster: Cluster) -> None:
    """A long session is deleted piece by piece, and its node may be gone in between."""
    a, b = await cluster.node("a"), await cluster.node("b")
    await taken(a)
    await a.history.admit(exchange())
    await cluster.run("UPDATE sessions SET owner = '\x1fhidden'")
    await taken(b)
    await interrupted(b)
    await until_told(lambda: cluster.run("SELECT count(*) = 0 FROM sessions"), within=30)


async def test_what_is_stored_or_deleted_piece_by_piece_is_known(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its end: its lease must not be given up meanwhile."""
    a = await cluster.node("a")
    await taken(a)
    kept = archive(session_id="s")
    async with a.history.writing(OWNER, "s") as writing:
        assert a.history.works_on("s")
        await writing.add(kept.messages, kept.streams)
        await writing.finish(kept)
    assert not a.history.works_on("s")
    monkeypatch.setattr(archive_statements, "LONG", 0)
    holding = await asyncpg.connect(cluster.url)
    try:
        async with holding.transaction():
            await holding.execute("SELECT FROM leases FOR UPDATE")
            deleting = asyncio.create_task(a.history.delete(OWNER, "s"))
            await until(lambda: a.history.works_on("s"))
    finally:
        await holding.close()
    await deleting
    assert not a.history.works_on("s")


async def test_an_import_without_a_lease_leaves_nothing(cluster: Cluster) -> None:
    """No other node would clear it away: nobody knows of it, and it counts as its owner's."""
    a = await cluster.node("a")
    lease = await taken(a)
    async with a.history.writing(OWNER, "s") as writing:
        await a.leases.release(lease)
        with pytest.raises(LeaseLost):
            await writing.finish(archive(session_id="s"))
    await until_told(lambda: cluster.run("SELECT count(*) = 0 FROM sessions"), within=30)
    assert a.lost == []


async def test_a_start_clears_away_what_nobody_owns(cluster: Cluster) -> None:
    """Its node gave the lease up and ended before it had cleared it away. What another node owns is left alone."""
    a = await cluster.node("a")
    for session in ("given up", "owned"):
        lease = await taken(a, session)
        await a.history.admit(exchange(session))
        if session == "given up":
            await a.leases.release(lease)
    await cluster.run("UPDATE sessions SET owner = '\x1fhidden'")
    await cluster.node("b")
    left = "SELECT string_agg(session_id, ' ') = 'owned' FROM sessions"
    await until_told(lambda: cluster.run(left), within=30)


async def test_nodes_that_lock_each_other_out_try_again(cluster: Cluster) -> None:
    """Both count what the same owners have stored, in different orders: PostgreSQL ends one of the transactions."""
    a = await cluster.node("a")
    await a.leases.acquire("x")
    await a.leases.acquire("y")
    for owner in ("x", "y"):
        await a.history.admit(exchange(owner, owner=owner))
    other = await asyncpg.connect(cluster.url)
    try:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SET LOCAL deadlock_timeout = '1h'")  # so that not this one gives up
        await other.execute("UPDATE usage SET bytes = bytes + 1 WHERE owner = 'y'")
        asking = asyncio.gather(
            *(a.history.admit(exchange(owner, owner=owner)) for owner in ("x", "y")), return_exceptions=True
        )
        waiting = "SELECT count(*) >= 1 FROM pg_locks WHERE NOT granted"
        await until_told(lambda: cluster.run(waiting), within=30)
        await other.execute("UPDATE usage SET bytes = bytes + 1 WHERE owner = 'x'")
        await transaction.commit()
        assert [type(result).__name__ for result in await asking] == ["Admission", "Admission"]
    finally:
        await other.close()


# ---- without a cluster ---------------------------------------------------------------------------------------


async def statements(history: SqlHistory) -> list[str]:
    """What a prompt and its answer make the database do."""
    seen: list[str] = []

    def see(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM deleted" not in statement:  # a look at what can be restored, which no prompt makes
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", see)
    try:
        asked = msgspec.structs.replace(exchange(), options=Options(seed=1))
        await history.admit(asked)
        await history.finish(ended(asked), "said", "")
        await history.settle()
    finally:
        event.remove(Engine, "before_cursor_execute", see)
    return seen


async def test_without_a_cluster_not_one_statement_more(cluster: Cluster) -> None:
    """Nor one that names a lease; with a cluster it is one in each transaction."""
    async with opened(cluster.url, cluster.folder, logger=Recorder()) as single:
        assert isinstance(single, SqlHistory)
        alone = await statements(single)
        assert await cluster.run("SELECT count(*) FROM leases") == 0
        assert await cluster.run("SELECT count(request) FROM streams") == 0
    assert not any("lease" in statement for statement in alone)
    a = await cluster.node("a")
    await taken(a)
    clustered = await statements(a.history)
    fences = [statement for statement in clustered if "lease" in statement]
    assert [statement for statement in clustered if "lease" not in statement] == alone
    assert 1 <= len(fences) <= 2


@pytest.mark.parametrize("first", ["alone", "node"])
async def test_a_server_without_redis_and_a_cluster_refuse_each_other(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Whoever comes second is told what to do."""
    monkeypatch.setattr(sign, "TAKEOVER_SECONDS", 0.3)

    def start(kind: str) -> AbstractAsyncContextManager[object]:
        fence = None if kind == "alone" else Fence()
        return opened(cluster.url, cluster.folder, logger=Recorder(), alone=kind == "alone", fence=fence)

    second = "node" if first == "alone" else "alone"
    async with start(first):
        with pytest.raises(DatabaseUnusable, match="TAILRACE_REDIS_URL"):
            async with start(second):
                pass
    async with start(second):
        pass


@pytest.mark.parametrize("url", [None, MEMORY])
async def test_a_cluster_needs_postgresql(url: str | None, tmp_path: Path) -> None:
    """SQLite and memory are one server's."""
    with pytest.raises(DatabaseUnusable, match="TAILRACE_DATABASE_URL"):
        async with opened(url, tmp_path, logger=Recorder(), fence=Fence()):
            pass


async def test_the_leases_of_others_are_not_read_for_a_deleted_session(cluster: Cluster) -> None:
    """There may be hundreds of thousands of them."""
    a = await cluster.node("a")
    for session in ("s", "t"):
        await taken(a, session)
        await a.history.restore(OWNER, archive(session_id=session))
        await a.history.delete(OWNER, session, undoable=True)
    await cluster.run("UPDATE leases SET node_id = 'b' WHERE session_id = 't'")
    await cluster.run(
        "INSERT INTO leases (session_id, node_id, epoch, changed_at) "
        "SELECT 'other-' || number, 'b', 1, now() FROM generate_series(1, 20000) AS number"
    )
    await cluster.run("ANALYZE")
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_: object, __: object, statement: str, parameters: tuple[object, ...], *___: object) -> None:
        asked.append((statement, parameters))

    def read(connection: Connection) -> tuple[dict[str, float], str]:
        event.listen(connection, "before_cursor_execute", note)
        left = read_times_left(connection, "a")
        event.remove(connection, "before_cursor_execute", note)
        [(statement, parameters)] = asked
        plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return left, "\n".join(plan.scalars())

    async with PostgresDatabase.opened(cluster.url, logger=Recorder()) as database:
        left, plan = await database.read(read)
    assert list(left) == ["s"]
    assert "Index Scan using leases_pkey on leases" in plan, plan
