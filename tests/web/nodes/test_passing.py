"""What an owner node sends reaches the client at once, and its end is told as what it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from app.cluster.ports import Node
from app.tasks.timeouts import within
from app.web.app_keys import OPEN_STREAMS
from app.web.nodes import passing
from tests.doubles.owners import OwnerTable
from tests.support.raw_viewer import RawViewer
from tests.support.waiting import stays, until
from tests.web.nodes.fake_owner import Conversation, fake_owner
from tests.web.nodes.stage import EVENT_STREAMS, PATIENCE, AliceGate, StagedNode, staged_node
from tests.web.stage import NDJSON, SSE, problem

Pair = tuple[StagedNode, StagedNode]
EVENTS = "/api/sessions/s1/events"
HELLO = {"prompt": "Hello", "model": "scripted/short"}


@pytest.fixture
async def node(tmp_path: Path, table: OwnerTable) -> AsyncIterator[StagedNode]:
    """A node among others that a test plays."""
    async with staged_node(tmp_path, "a", table) as node:
        yield node


async def never(_: Conversation) -> None:
    """Answer nothing."""


def _key(conversation: Conversation) -> str:
    """Return the Idempotency-Key of a request."""
    [key] = [line for line in conversation.head.split("\r\n") if line.startswith("Idempotency-Key: ")]
    return key


# ---- growing responses ---------------------------------------------------------------------------------------


async def test_each_piece_passes_at_once(node: StagedNode, table: OwnerTable) -> None:
    """Nothing waits for more."""

    async def answer(conversation: Conversation) -> None:
        conversation.begin(SSE)

    async with fake_owner(answer) as owner:
        table.give("s1", owner.node)
        async with node.client.http.get(EVENTS) as response:
            for piece in (b"id: 1-1\n", b"event: token\ndata: {}\n\n", b"x" * 100_000, b"\n"):
                owner.conversations[0].say(piece)
                assert await response.content.readexactly(len(piece)) == piece


@pytest.mark.parametrize("cancelling", [True, False])
async def test_a_viewer_that_leaves(tmp_path: Path, table: OwnerTable, *, cancelling: bool) -> None:
    """The owner sees it leave, whether or not aiohttp tells the handler."""
    async with (
        staged_node(tmp_path / "a", "a", table, handler_cancellation=cancelling) as a,
        staged_node(tmp_path / "b", "b", table) as b,
    ):
        table.give("s1", b.node)
        await a.client.post("s1", "Hello", model="scripted/hang")
        session = b.registry.find("s1")
        assert session is not None
        async with a.client.events(EVENTS) as events:
            await anext(events)
            assert session.viewers == 1
            assert len(a.nodes.sources) == 1
        await until(lambda: session.viewers == 0)
        await until(lambda: len(a.nodes.sources) == 0)


async def test_a_slow_viewer_slows_its_owner_node(node: StagedNode, table: OwnerTable) -> None:
    """Nothing gathers in between."""
    sent = 0

    async def answer(conversation: Conversation) -> None:
        nonlocal sent
        conversation.begin(SSE)
        while True:
            conversation.say(b"x" * 65536)
            await conversation.writer.drain()
            sent += 65536

    async with fake_owner(answer) as owner:
        table.give("s1", owner.node)
        async with RawViewer(node.client.url, EVENTS, room=4096):
            await until(lambda: owner.conversations)
            transport = owner.conversations[0].writer.transport
            await until(lambda: transport.get_write_buffer_size() > 65536)
            await stays(lambda: sent < 16 * 1024 * 1024, during=0.3)


async def test_an_owner_that_dies(pair: Pair, table: OwnerTable) -> None:
    """An event stream ends, and its viewer comes back with its cursor; a reader of lines sees that some are missing."""
    a, b = pair
    table.give("s1", b.node)
    await a.client.post("s1", "Hello", model="scripted/hang")
    async with (
        a.client.http.get(EVENTS) as events,
        a.client.http.post(
            "/api/sessions/s1/streams",
            json={"prompt": "More", "model": "scripted/hang-middle"},
            headers={"Accept": NDJSON},
        ) as lines,
    ):
        assert lines.status == 201
        await lines.content.readline()
        b.drop_connections()
        await events.read()
        with pytest.raises(aiohttp.ClientError):
            await lines.read()


async def test_a_file_that_breaks_off(node: StagedNode, table: OwnerTable) -> None:
    """What an owner node has not sent whole does not look whole."""

    async def answer(conversation: Conversation) -> None:
        conversation.begin("application/json")
        conversation.say(b"[1,")
        await conversation.writer.drain()

    async with fake_owner(answer) as owner:
        table.give("s1", owner.node)
        async with node.client.http.get("/api/sessions/s1/export") as response:
            assert await response.content.readexactly(3) == b"[1,"
            owner.conversations[0].abort()
            with pytest.raises(aiohttp.ClientError):
                await response.read()


async def test_the_session_moves(pair: Pair, table: OwnerTable) -> None:
    """A hint ends what is read from the earlier owner, which may be paused and end nothing itself."""
    a, b = pair
    lease = table.give("s1", b.node)
    await a.client.post("s1", "Hello", model="scripted/hang")
    async with a.client.http.get(EVENTS) as events:
        hear = next(
            heard for hints, kind, heard in table.ears if kind == "owner" and hints is a.nodes.cluster.hints
        )
        hear("s1", str(lease.epoch))
        assert len(a.nodes.sources) == 1
        hear("s1", str(lease.epoch + 1))
        await events.read()


async def test_a_silent_owner(node: StagedNode, table: OwnerTable) -> None:
    """Without heartbeats it counts as gone."""

    async def answer(conversation: Conversation) -> None:
        conversation.begin(SSE)
        conversation.say(b": begins\n\n")

    async with fake_owner(answer) as owner:
        table.give("s1", owner.node)
        async with node.client.http.get(EVENTS) as response:
            assert await response.read() == b": begins\n\n"


async def test_an_export_of_a_silent_owner(
    node: StagedNode, table: OwnerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes for longer than an owner that works needs, so its reader sees that some is missing."""
    monkeypatch.setattr(passing, "EXPORT_SILENCE", 0.5)

    async def answer(conversation: Conversation) -> None:
        conversation.begin("application/json")
        conversation.say(b"[1,")

    async with fake_owner(answer) as owner:
        table.give("s1", owner.node)
        async with node.client.http.get("/api/sessions/s1/export") as response:
            assert await response.content.readexactly(3) == b"[1,"
            with pytest.raises(aiohttp.ClientError):
                await within(20, response.read())


async def test_an_owner_that_expires(tmp_path: Path, table: OwnerTable) -> None:
    """What is read from it ends, although the connection is fine."""
    peers: list[Node] = []

    async def answer(conversation: Conversation) -> None:
        conversation.begin(SSE)
        conversation.say(b": begins\n\n")

    async with (
        fake_owner(answer) as owner,
        staged_node(tmp_path, "a", table, peers=peers, heartbeat=60.0) as node,
    ):
        peers.append(owner.node)
        table.give("s1", owner.node)
        async with node.client.http.get(EVENTS) as response:
            await response.content.readexactly(10)
            await until(lambda: all(source.has_lived for source in node.nodes.sources))
            peers.remove(owner.node)
            assert await response.read() == b""


async def test_event_streams_are_counted_once(pair: Pair, table: OwnerTable) -> None:
    """By the node that the client is connected to; the owner node counts its own clients' alone."""
    a, b = pair
    table.give("s1", b.node)
    await a.client.post("s1", "Hello", model="scripted/hang")
    async with a.client.events(EVENTS), a.client.events("/events?watch=s1:"):
        assert a.app[OPEN_STREAMS].total == 2
        assert b.app[OPEN_STREAMS].total == 0


async def test_a_prompt_beyond_the_limit_of_event_streams(tmp_path: Path, table: OwnerTable) -> None:
    """It is refused where the client is, before its owner node hears of it. The owner node has no say in that."""
    peers: list[Node] = []
    async with (
        staged_node(tmp_path / "a", "a", table, peers=peers, gate=AliceGate()) as a,
        staged_node(tmp_path / "b", "b", table, peers=peers, gate=AliceGate()) as b,
        AsyncExitStack() as stack,
    ):
        for number in range(EVENT_STREAMS + 1):
            table.give(f"alice/s{number}", b.node)
        for number in range(EVENT_STREAMS):
            await stack.enter_async_context(b.client.events(f"/api/sessions/later{number}/events"))
        hang, events = {"prompt": "Hello", "model": "scripted/hang"}, {"Accept": SSE}
        for number in range(EVENT_STREAMS):
            sent = a.client.http.post(f"/api/sessions/s{number}/streams", json=hang, headers=events)
            response = await stack.enter_async_context(sent)
            assert response.status == 201
        path = f"/api/sessions/s{EVENT_STREAMS}/streams"
        async with a.client.http.post(path, json=hang, headers=events) as response:
            await problem(response, 429, "owner_event_streams")
        assert a.nodes.forwarded == EVENT_STREAMS


async def test_a_growing_page_is_counted(pair: Pair, table: OwnerTable) -> None:
    """Like an event stream: it is open for as long as the answer."""
    a, b = pair
    table.give("s1", b.node)
    registered = await a.client.post("s1", "Hello", model="scripted/hang-middle")
    plain = {"Accept": "text/html", "Cookie": "tailrace_plain=1"}
    async with a.client.http.get("/sessions/s1", headers=plain) as page:
        assert page.status == 200
        assert (a.app[OPEN_STREAMS].total, b.app[OPEN_STREAMS].total) == (1, 0)
        await b.client.stop(registered["stream_id"])
        assert (await page.text()).rstrip().endswith("</html>")
    await until(lambda: a.app[OPEN_STREAMS].total == 0)


# ---- short responses -----------------------------------------------------------------------------------------


async def test_an_owner_that_dies_in_a_short_response(node: StagedNode, table: OwnerTable) -> None:
    """The client has got nothing of it, so the request is sent again."""
    fallen = asyncio.Event()

    async def answer(conversation: Conversation) -> None:
        conversation.begin("application/json", length=100)
        conversation.writer.write(b'{"half')
        await conversation.writer.drain()
        conversation.abort()
        fallen.set()

    async with fake_owner(answer) as owner:
        table.give("s1", owner.node)
        await node.client.ask("s0", "Hello", model="scripted/short")
        reading = asyncio.create_task(node.client.get("/api/sessions/s1"))
        await fallen.wait()
        table.give("s1", node.node)
        assert (await reading)["http"] == 404  # from the node itself, which has no such session


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"])
async def test_a_lost_connection_is_not_a_lost_owner(
    node: StagedNode, table: OwnerTable, head: bytes
) -> None:
    """It lives, so its running answer must not be interrupted: the prompt is sent once more, with the same key."""

    async def answer(conversation: Conversation) -> None:
        if len(owner.conversations) == 1:
            conversation.writer.write(head)
            await conversation.writer.drain()
            conversation.abort()
        else:
            conversation.begin("application/json", status="201 Created", length=2)
            conversation.writer.write(b"{}")

    async with fake_owner(answer) as owner:
        lease = table.give("s1", owner.node)
        assert (await node.client.post("s1", "Hello", model="scripted/short"))["http"] == 201
        assert table.leases["s1"] == lease
        keys = [_key(conversation) for conversation in owner.conversations]
        assert len(keys) == 2
        assert keys[0] == keys[1]


async def test_an_owner_that_loses_every_connection(node: StagedNode, table: OwnerTable) -> None:
    """A session is not stuck there: after the second one it is taken over."""

    async def answer(conversation: Conversation) -> None:
        conversation.abort()

    async with fake_owner(answer) as owner:
        table.give("s1", owner.node)
        assert (await node.client.post("s1", "Hello", model="scripted/short"))["http"] == 201
        assert table.leases["s1"].node == node.node
        assert len(owner.conversations) == 2


async def test_an_owner_that_is_paused_in_a_short_response(node: StagedNode, table: OwnerTable) -> None:
    """After its headers. It is not waited for without a bound."""

    async def answer(conversation: Conversation) -> None:
        conversation.begin("application/json", status="201 Created", length=500_000)
        conversation.writer.write(b'{"half')

    async with fake_owner(answer, health=False) as owner:
        table.give("s1", owner.node)
        answered = await within(20, node.client.post("s1", "Hello", model="scripted/short"))
        assert answered["http"] == 201
        assert table.leases["s1"].node == node.node


async def test_a_short_response_while_this_node_ends(node: StagedNode, table: OwnerTable) -> None:
    """It is read to its end, unlike what would grow for ever."""
    begun = asyncio.Event()

    async def answer(conversation: Conversation) -> None:
        conversation.begin("application/json", length=2)
        begun.set()

    async with fake_owner(answer) as owner:
        lease = table.give("s1", owner.node)
        asking = asyncio.create_task(node.client.post("s1", "Hello", model="scripted/short"))
        await begun.wait()
        await until(lambda: len(node.nodes.sources) == 1)
        node.nodes.sources.close()
        owner.conversations[0].writer.write(b"{}")
        assert (await asking)["http"] == 200
        assert table.leases["s1"] == lease
        assert len(owner.conversations) == 1


async def test_an_owner_that_was_started_anew(pair: Pair, table: OwnerTable) -> None:
    """Another node has its address, and does not believe what is meant for the earlier one, which is gone."""
    a, b = pair
    table.give("s1", Node("earlier", b.node.url))
    assert (await a.client.post("s1", "Hello", model="scripted/short"))["http"] == 201
    assert table.leases["s1"].node == a.node


async def test_a_paused_owner_loses_the_session_to_a_prompt(node: StagedNode, table: OwnerTable) -> None:
    """It takes connections and answers nothing: the prompt is answered elsewhere within its bound."""
    loop = asyncio.get_running_loop()
    async with fake_owner(never, health=False) as owner:
        table.give("s1", owner.node)
        began = loop.time()
        assert (await node.client.post("s1", "Hello", model="scripted/short"))["http"] == 201
        assert loop.time() - began >= PATIENCE * 0.9
        assert table.leases["s1"].node == node.node
        assert "Idempotency-Key" in owner.conversations[0].head


async def test_a_slow_owner_keeps_the_session(node: StagedNode, table: OwnerTable) -> None:
    """It lives, so it is waited for: its work must not be done twice."""
    ready = asyncio.Event()

    async def answer(conversation: Conversation) -> None:
        await ready.wait()
        conversation.begin("application/json", status="201 Created", length=2)
        conversation.writer.write(b"{}")

    async with fake_owner(answer) as owner:
        lease = table.give("s1", owner.node)
        asking = asyncio.create_task(node.client.post("s1", "Hello", model="scripted/short"))
        asyncio.get_running_loop().call_later(2.5 * PATIENCE, ready.set)
        assert (await asking)["http"] == 201
        assert table.leases["s1"] == lease
        assert len(owner.conversations) == 1


async def test_a_dead_owner_loses_the_session_at_once(node: StagedNode, table: OwnerTable) -> None:
    """Nobody listens there."""
    async with fake_owner(never) as owner:
        pass
    table.give("s1", owner.node)
    assert (await node.client.post("s1", "Hello", model="scripted/short"))["http"] == 201
    assert table.leases["s1"].node == node.node
