"""A page's event stream carries the sessions of all nodes, and follows them from node to node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.cluster.ports import Node
from app.web.app_keys import OPEN_STREAMS
from app.web.events import open_streams, push
from tests.doubles.owners import OwnerTable
from tests.support.sse import Event
from tests.support.waiting import until
from tests.web.nodes.fake_owner import Conversation, fake_owner
from tests.web.nodes.stage import AliceGate, StagedNode, staged_node
from tests.web.stage import SSE, problem

Pair = tuple[StagedNode, StagedNode]


async def until_event(events: AsyncIterator[Event], name: str) -> list[Event]:
    """Return the events up to the next of this name, without the heartbeats."""
    found: list[Event] = []
    async with asyncio.timeout(10):
        async for event in events:
            if event.name != "heartbeat":
                found.append(event)
            if event.name == name:
                return found
    raise AssertionError(f"no {name}: {found}")


async def test_sessions_of_two_nodes(pair: Pair, table: OwnerTable) -> None:
    """Their events are merged, each with its session in its id, whole and in order."""
    a, b = pair
    table.give("here", a.node)
    table.give("there", b.node)
    async with a.client.events("/events?watch=here:new&watch=there:new") as events:
        await a.client.post("there", "Hello", model="scripted/short")
        there = await until_event(events, "end")
        await a.client.post("here", "Hello", model="scripted/short")
        here = await until_event(events, "end")
    for session_id, found in (("there", there), ("here", here)):
        own = [event for event in found if event.had_id]
        assert {str(event.id).partition("/")[0] for event in own} == {session_id}
        assert own[0].name == "start"
        assert "block" in {event.name for event in found}
        places = [int(str(event.id).rpartition("-")[2]) for event in own]
        assert places == sorted(set(places))
    # Of the other node's response only what concerns the session is passed on.
    assert {event.name for event in there} <= {"start", "status", "token", "block", "tail", "end", "list"}


async def test_the_owner_dies(pair: Pair, table: OwnerTable) -> None:
    """The page's response goes on from the last event that it had, on the next owner."""
    a, b = pair
    lease = table.give("s1", b.node)
    await a.client.ask("s0", "Hello", model="scripted/short")
    async with a.client.events("/events?watch=s1:&watch=s0:") as events:
        registered = await a.client.post("s1", "Hello", model="scripted/hang-middle")
        await until_event(events, "token")
        session = b.registry.find("s1")
        assert session is not None
        b.drop_connections()
        await until(lambda: session.viewers == 0)
        # The same owner is found again, and nothing is repeated.
        await until(lambda: session.viewers == 1)
        await b.client.stop(registered["stream_id"])
        rest = await until_event(events, "end")
    assert "start" not in {event.name for event in rest}
    assert table.leases["s1"] == lease


async def test_the_session_comes_here(pair: Pair, table: OwnerTable) -> None:
    """Its cursor is from another log, so the page comes back for a reset; with the shared log it would go on."""
    a, b = pair
    table.give("s1", b.node)
    async with a.client.events("/events?watch=s1:") as events:
        await a.client.post("s1", "Hello", model="scripted/hang-middle")
        await until_event(events, "token")
        table.give("s1", a.node)
        b.drop_connections()
        async with asyncio.timeout(10):
            async for _ in events:
                pass


async def test_a_deleted_session(pair: Pair, table: OwnerTable) -> None:
    """The page is told, and the other node is asked no more."""
    a, b = pair
    table.give("s1", b.node)
    await b.client.ask("s1", "Hello", model="scripted/short")
    async with a.client.events("/events?watch=s1:") as events:
        await until(lambda: len(a.nodes.sources) == 1)
        assert (await a.client.delete("/api/sessions/s1"))["http"] == 204
        gone = (await until_event(events, "gone"))[-1]
        assert gone.data == {"session_id": "s1"}
        await until(lambda: len(a.nodes.sources) == 0)


async def test_an_unknown_cursor(pair: Pair, table: OwnerTable) -> None:
    """The owner's reset is passed on, with the address of the snapshot."""
    a, b = pair
    table.give("s1", b.node)
    await b.client.ask("s1", "Hello", model="scripted/short")
    async with a.client.events("/events?watch=s1:1-1") as events:
        reset = (await until_event(events, "reset"))[-1]
    assert reset.data["snapshot_url"] == "/sessions/s1/snapshot"


async def test_the_page_leaves(pair: Pair, table: OwnerTable) -> None:
    """Nothing is read for it any more."""
    a, b = pair
    table.give("s1", b.node)
    await b.client.post("s1", "Hello", model="scripted/hang")
    session = b.registry.find("s1")
    assert session is not None
    async with a.client.events("/events?watch=s1:"):
        await until(lambda: session.viewers == 1)
    await until(lambda: session.viewers == 0)
    await until(lambda: len(a.nodes.sources) == 0)


@pytest.mark.parametrize("lives", [True, False])
async def test_an_owner_that_is_not_reached(tmp_path: Path, table: OwnerTable, *, lives: bool) -> None:
    """The page's other sessions go on meanwhile; after a while it has to come back."""

    async def answer(conversation: Conversation) -> None:
        if lives:
            conversation.begin(SSE, status="503 Service Unavailable")
            conversation.say(b"no")
        conversation.abort()

    async with staged_node(tmp_path, "a", table) as a, fake_owner(answer) as owner:
        table.give("s1", owner.node)
        async with a.client.events("/events?watch=s1:&watch=s0:new") as events:
            await a.client.post("s0", "Hello", model="scripted/short")
            await until_event(events, "end")
            async with asyncio.timeout(20):
                async for _ in events:
                    pass
        assert len(owner.conversations) > 1


async def test_an_owner_watches_so_many_sessions_of_other_nodes(
    tmp_path: Path, table: OwnerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On all pages together: each holds a connection between two nodes."""
    monkeypatch.setattr(open_streams, "MOST_ELSEWHERE", 3)
    peers: list[Node] = []
    async with (
        staged_node(tmp_path / "a", "a", table, peers=peers, gate=AliceGate()) as a,
        staged_node(tmp_path / "b", "b", table, peers=peers, gate=AliceGate()) as b,
    ):
        for number in range(4):
            table.give(f"alice/s{number}", b.node)
        async with a.client.events("/events?watch=s0:new&watch=s1:new"):
            async with a.client.http.get("/events?watch=s2:new&watch=s3:new") as response:
                await problem(response, 429, "owner_event_streams")
            async with a.client.events("/events?watch=s2:new&watch=here:new"):
                await until(lambda: len(a.nodes.sources) == 3)
        await until(lambda: len(a.nodes.sources) == 0)
        async with a.client.events("/events?watch=s1:new&watch=s2:new&watch=s3:new"):
            await until(lambda: len(a.nodes.sources) == 3)


async def test_what_waits_here_counts_as_unread(
    tmp_path: Path, table: OwnerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound of an owner the page's response ends, and the page goes on from its cursors."""
    monkeypatch.setattr(open_streams, "MOST_UNREAD", 100_000)
    monkeypatch.setattr(push, "MUCH", 1 << 30)  # what is in the transport is looked at no earlier

    async def answer(conversation: Conversation) -> None:
        conversation.begin(SSE)
        for number in range(1, 200):
            conversation.say(f'id: s1/1-{number}\nevent: token\ndata: "{"x" * 200_000}"\n\n'.encode())
            await conversation.writer.drain()

    async with staged_node(tmp_path, "a", table, gate=AliceGate()) as a, fake_owner(answer) as owner:
        table.give("alice/s1", owner.node)
        async with a.client.http.get("/events?watch=s1:") as response:
            assert response.status == 200
            await until(lambda: a.app[OPEN_STREAMS].total == 0)


async def test_a_frame_larger_than_the_buffer(tmp_path: Path, table: OwnerTable) -> None:
    """It waits for the viewer once, and arrives whole."""
    text = "x" * 300_000

    async def answer(conversation: Conversation) -> None:
        conversation.begin(SSE)
        for number in range(1, 4):
            conversation.say(f'id: s1/1-{number}\nevent: token\ndata: {{"text":"{text}"}}\n\n'.encode())

    async with staged_node(tmp_path, "a", table) as a, fake_owner(answer) as owner:
        table.give("s1", owner.node)
        async with a.client.events("/events?watch=s1:") as events:
            for number in range(1, 4):
                event = (await until_event(events, "token"))[-1]
                assert (event.id, event.data["text"]) == (f"s1/1-{number}", text)
