"""A reader whose owner node lives, but cannot be reached, takes the session over after a wait, unless it is cut off."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from itertools import repeat
from pathlib import Path

import pytest

from app.cluster.cluster import OWNER_CHANGED
from app.cluster.ports import Node
from app.tasks.timeouts import within
from app.web.nodes import nodes, page_watch, reach
from tests.doubles.owners import OwnerTable, TableHints
from tests.support.waiting import until
from tests.web.nodes.fake_owner import Conversation, fake_owner
from tests.web.nodes.stage import StagedNode, staged_node
from tests.web.stage import problem

WAIT = 1.0  # s, the time to live of staged nodes


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "LEEWAY", 0.0)
    monkeypatch.setattr(page_watch, "LEEWAY", 0.0)


@pytest.fixture
def peers() -> list[Node]:
    """The nodes that live, as all of them know."""
    return []


@pytest.fixture
async def node(tmp_path: Path, table: OwnerTable, peers: list[Node]) -> AsyncIterator[StagedNode]:
    """A node among others that a test plays."""
    async with staged_node(tmp_path / "a", "a", table, peers=peers) as node:
        yield node


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # without `listen`, so nobody else gets the port
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


async def never(_: Conversation) -> None:
    """Answer nothing."""


@pytest.mark.parametrize(
    "path", ["/api/sessions/s1", "/sessions/s1/snapshot", "/api/sessions/s1/export", "/sessions/s1"]
)
async def test_a_reader_waits_and_takes_over(
    node: StagedNode, table: OwnerTable, peers: list[Node], refusing: str, path: str
) -> None:
    """Of two nodes nobody can tell which one is cut off."""
    loop = asyncio.get_running_loop()
    owner = Node("owner", refusing)
    peers.append(owner)
    table.give("s1", owner)
    began = loop.time()
    assert (await within(20, node.client.get(path)))["http"] in (200, 404)
    assert loop.time() - began >= WAIT
    assert table.leases["s1"].node == node.node


async def test_events_go_on_elsewhere(
    node: StagedNode, table: OwnerTable, peers: list[Node], refusing: str
) -> None:
    """Also on the event stream of a page, which names its sessions itself."""
    owner = Node("owner", refusing)
    peers.append(owner)
    for session_id in ("s1", "s2"):
        table.give(session_id, owner)
    async with (
        node.client.http.get("/api/sessions/s1/events"),
        node.client.http.get("/events?watch=s2:1-1") as page,
    ):
        assert page.status == 200
        await until(lambda: {lease.node.id for lease in table.leases.values()} == {"a"}, within=20)


@pytest.mark.parametrize("path", ["/api/sessions/s1/events", "/events?watch=s1:1-1"])
async def test_readers_are_woken_when_the_session_moves(
    node: StagedNode,
    table: OwnerTable,
    peers: list[Node],
    refusing: str,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dead node may leave hundreds of them: they need not look all the time."""
    for module in (nodes, page_watch):
        monkeypatch.setattr(module, "pauses", lambda: repeat(60.0))
        monkeypatch.setattr(module, "LEEWAY", 60.0)
    owner = Node("owner", refusing)
    peers.append(owner)
    table.give("s1", owner)
    reading = asyncio.create_task(node.client.http.get(path))
    await until(lambda: len(node.nodes.cluster.moves) == 1)
    asked = len(node.owners.asked)
    lease = table.give("s1", node.node)
    TableHints(table).send(OWNER_CHANGED, "s1", str(lease.epoch))
    await until(lambda: len(node.nodes.cluster.moves) == 0 and len(node.owners.asked) > asked, within=20)
    (await reading).close()


async def test_a_page_waits_from_when_its_stream_broke(
    node: StagedNode, table: OwnerTable, peers: list[Node]
) -> None:
    """However long it has read before: an owner that is away for a moment keeps its session."""
    loop = asyncio.get_running_loop()
    asked: list[float] = []

    async def answer(conversation: Conversation) -> None:
        asked.append(loop.time())
        if len(asked) == 1:
            conversation.begin("text/event-stream")
            until_then = loop.time() + 1.5 * WAIT
            while loop.time() < until_then:
                conversation.say(b": still here\n\n")
                await asyncio.sleep(0.1)
        conversation.abort()

    async with fake_owner(answer, health=False) as owner:
        peers.append(owner.node)
        table.give("s1", owner.node)
        async with node.client.http.get("/events?watch=s1:1-1") as page:
            assert page.status == 200
            await until(lambda: table.leases["s1"].node == node.node, within=20)
        assert len(asked) > 3  # it was tried again before anything was taken


async def test_a_lease_that_runs_out_is_not_waited_for(
    node: StagedNode, table: OwnerTable, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead owner's reader needs nobody's answer."""
    monkeypatch.setattr(nodes, "LEEWAY", 60.0)
    lease = table.give("s1", Node("owner", refusing))
    reading = asyncio.create_task(node.client.get("/api/sessions/s1"))
    table.leases["s1"] = lease._replace(alive=False)
    assert (await reading)["http"] == 404
    assert table.leases["s1"].node == node.node


async def test_one_of_several_that_reaches_the_others(
    tmp_path: Path, node: StagedNode, table: OwnerTable, peers: list[Node], refusing: str
) -> None:
    """The owner is the one that is cut off."""
    owner = Node("owner", refusing)
    peers.append(owner)
    async with staged_node(tmp_path / "b", "b", table, peers=peers):
        table.give("s1", owner)
        await within(20, node.client.get("/api/sessions/s1"))
    assert table.leases["s1"].node == node.node


async def test_one_that_reaches_nobody_takes_nothing(
    node: StagedNode, table: OwnerTable, peers: list[Node], refusing: str
) -> None:
    """It is cut off itself, and its clients can be served elsewhere."""
    owner = Node("owner", refusing)
    peers.extend((owner, Node("other", refusing)))
    lease = table.give("s1", owner)
    async with node.client.http.get("/api/sessions/s1") as response:
        await problem(response, 503, "node_unreachable")
    async with node.client.http.get("/events?watch=s1:") as page:
        await within(20, page.read())  # it ends, and the page comes back
    assert table.leases["s1"] == lease


async def test_another_node_at_its_address_is_not_reached(
    tmp_path: Path, node: StagedNode, table: OwnerTable, peers: list[Node], refusing: str
) -> None:
    """Nor is another server: only a node that says its own name counts."""
    owner = Node("owner", refusing)
    peers.append(owner)
    async with staged_node(tmp_path / "b", "b", table) as b:
        peers.append(Node("c", b.node.url))
        lease = table.give("s1", owner)
        async with node.client.http.get("/api/sessions/s1") as response:
            await problem(response, 503, "node_unreachable")
        assert table.leases["s1"] == lease


async def test_the_same_address_on_two_nodes(
    tmp_path: Path, node: StagedNode, table: OwnerTable, peers: list[Node]
) -> None:
    """What is meant for one reaches the other, for ever."""
    async with staged_node(tmp_path / "b", "b", table, peers=peers) as b:
        peers.append(Node("c", b.node.url))
        table.give("s1", peers[-1])
        await within(20, node.client.get("/api/sessions/s1"))
    assert table.leases["s1"].node == node.node


async def test_an_owner_that_answers_keeps_its_session(node: StagedNode, table: OwnerTable) -> None:
    """It loses each connection of a reader, but says that it lives."""

    async def answer(conversation: Conversation) -> None:
        conversation.abort()

    async with fake_owner(answer) as owner:
        lease = table.give("s1", owner.node)
        async with node.client.http.get("/api/sessions/s1") as response:
            await problem(response, 503, "node_unreachable")
    assert table.leases["s1"] == lease


async def test_it_is_taken_once_in_a_minute(
    node: StagedNode, table: OwnerTable, peers: list[Node], refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes that do not reach each other must not end each other's answers all the time."""
    owner = Node("owner", refusing)
    peers.append(owner)
    table.give("s1", owner)
    await within(20, node.client.get("/api/sessions/s1"))
    assert table.leases["s1"].node == node.node
    lease = table.give("s1", owner)
    async with node.client.http.get("/api/sessions/s1") as response:
        await problem(response, 503, "node_unreachable")
    assert table.leases["s1"] == lease
    monkeypatch.setattr(reach, "AGAIN_SECONDS", 0.0)
    await within(20, node.client.get("/api/sessions/s1"))
    assert table.leases["s1"].node == node.node


async def test_readers_take_it_together(
    node: StagedNode, table: OwnerTable, peers: list[Node], refusing: str
) -> None:
    """However many wait for the same session, it changes its owner once."""
    owner = Node("owner", refusing)
    peers.append(owner)
    lease = table.give("s1", owner)
    answers = await asyncio.gather(*(node.client.get("/api/sessions/s1") for _ in range(8)))
    assert {answer["http"] for answer in answers} == {404}
    assert table.leases["s1"].epoch == lease.epoch + 1


async def test_an_owner_that_changes_meanwhile_is_not_blamed(
    node: StagedNode, table: OwnerTable, peers: list[Node], refusing: str
) -> None:
    """The new one has not been waited for."""
    owner = Node("owner", refusing)
    peers.append(owner)
    table.give("s1", owner)
    reading = asyncio.create_task(node.client.get("/api/sessions/s1"))
    await until(lambda: len(node.owners.asked) > 1)
    lease = table.give("s1", owner)
    answer = await reading
    assert (answer["http"], answer["code"]) == (503, "node_unreachable")
    assert table.leases["s1"] == lease
