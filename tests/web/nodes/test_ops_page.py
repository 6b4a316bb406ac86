"""The operations page of a node: it shows all nodes, and one that says nothing holds up nobody."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.cluster.cluster import (
    ANOTHER_CLUSTERS_REDIS,
    LEAVING,
    NO_POSTGRES,
    NO_REDIS,
    NOT_ALL_OF_REDIS,
    NOT_AT_ITS_ADDRESS,
    NOT_JOINED,
)
from app.cluster.ports import Expired, Node
from app.streams.counters import LAST_ENDS
from app.web.nodes import overviews
from app.web.ops import context, handlers
from app.web.ops.merged import view
from app.web.security.gates import ProxyGate
from tests.doubles.owners import OwnerTable
from tests.support.sse import Event, read_events
from tests.web.board_page import rows, section
from tests.web.nodes.fake_owner import Conversation, FakeOwner, fake_owner
from tests.web.nodes.stage import StagedNode, staged_node
from tests.web.stage import problem

HTML = {"Accept": "text/html"}
LONG = {"model": "scripted/long"}
NOTHING = "\N{EN DASH}"  # in a cell without a value
BOUND = 20.0  # s, on a busy machine


async def page(node: StagedNode, path: str = "/ops", **headers: str) -> str:
    """Return the page."""
    async with node.client.http.get(path, headers={**HTML, **headers}) as response:
        assert response.status == 200
        return await response.text()


def nodes_of(html: str) -> dict[str, dict[str, str]]:
    """Return the rows of the nodes by their ids."""
    return {row["Node"].partition(" ")[0]: row for row in rows(section(html, "nodes"))}


async def silent(conversation: Conversation) -> None:
    """Never answer, though the connection stays, like a paused node."""
    await conversation.left()


@pytest.fixture
async def three(tmp_path: Path, table: OwnerTable) -> AsyncIterator[tuple[StagedNode, StagedNode, FakeOwner]]:
    """Two nodes and one that is paused: not even its health check is answered."""
    async with fake_owner(silent, health=False) as paused:
        peers = [paused.node]
        async with (
            # No shorter bound of the client hides that of the page.
            staged_node(tmp_path / "a", "a", table, peers=peers, patience=600.0) as a,
            staged_node(tmp_path / "b", "b", table, peers=peers) as b,
        ):
            yield a, b, paused


async def test_what_runs_waits_and_ended_on_all_nodes(pair: tuple[StagedNode, StagedNode]) -> None:
    """In one list each, with the node; the figures are sums."""
    a, b = pair
    await b.client.ask("ended-there", "hello", model="scripted/echo")
    await b.client.post("there", "hello", **LONG)
    await a.client.post("here", "hello", **LONG)
    html = await page(a)
    live = {row["Chat"]: row for row in rows(section(html, "running"))}
    assert live["here"]["Node"] == a.node.url.partition("://")[2]
    assert live["there"]["Node"] == b.node.url.partition("://")[2]
    assert live["there"]["Waits for"] == NOTHING
    [ended] = rows(section(html, "ended"))
    assert (ended["Node"], ended["Chat"]) == (live["there"]["Node"], "ended-there")
    assert re.search(r"<dt>Running</dt><dd>2 ", html)
    assert re.search(r"<dt>Answers</dt><dd>3</dd>", html)
    assert {row["Node"] for row in rows(section(html, "backends"))} == {
        live["here"]["Node"],
        live["there"]["Node"],
    }


async def test_each_node_with_its_state(pair: tuple[StagedNode, StagedNode]) -> None:
    """Id, address, the chats that it owns, what runs there; the one that was asked comes first."""
    a, b = pair
    await b.client.post("there", "hello", **LONG)
    found = nodes_of(await page(a))
    assert list(found) == ["a", "b"]
    assert found["a"]["Node"] == "a this one"
    assert found["b"]["Address"] == b.node.url.partition("://")[2]
    assert (found["a"]["Chats"], found["b"]["Chats"]) == ("0", "1")
    assert (found["a"]["Running"], found["b"]["Running"]) == ("0", "1")
    assert {row["State"] for row in found.values()} == {"Ready"}


async def test_a_node_that_lacks_an_engine_says_so(
    pair: tuple[StagedNode, StagedNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the page of every node."""
    a, b = pair
    broken = b.nodes.cluster._replace(trouble=lambda: (NO_POSTGRES, NO_REDIS))
    monkeypatch.setattr(b.nodes, "cluster", broken)
    row = nodes_of(await page(a))["b"]
    assert row["State"] == "Not ready"
    assert "PostgreSQL isn&#39;t responding" in row["Details"]
    assert "Redis isn&#39;t responding" in row["Details"]


def test_there_are_words_for_each_trouble() -> None:
    """The page has its own for what `/readyz` says, and for each reason of silence."""
    engines = {NO_POSTGRES, NO_REDIS, NOT_ALL_OF_REDIS, ANOTHER_CLUSTERS_REDIS}
    assert context.TROUBLE.keys() == engines | {NOT_AT_ITS_ADDRESS, NOT_JOINED, LEAVING}
    assert context.SILENCE.keys() == {
        overviews.PENDING,
        overviews.TIMEOUT,
        overviews.LOST,
        overviews.UNBELIEVED,
        overviews.UNREADABLE,
        overviews.EXPIRED,
    }


async def test_a_silent_node_is_a_row(
    three: tuple[StagedNode, StagedNode, FakeOwner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says since when; the others are shown as ever, and the next page does not wait for it again."""
    a, b, paused = three
    began = time.time()
    await b.client.post("there", "hello", **LONG)
    html = await page(a)
    found = nodes_of(html)
    assert found["fake"]["State"] == "Unreachable"
    assert re.search(
        r"Since \d\d:\d\d:\d\d \(UTC\)\. It doesn&#39;t answer in time\.", found["fake"]["Details"]
    )
    assert (found["fake"]["Address"], found["fake"]["Chats"]) == (
        paused.node.url.partition("://")[2],
        NOTHING,
    )
    assert found["b"]["State"] == "Ready"
    assert [row["Chat"] for row in rows(section(html, "running"))] == ["there"]
    # From now on the bound may be as long as it likes.
    monkeypatch.setattr(handlers, "PATIENCE", 600.0)
    monkeypatch.setattr(overviews, "SECONDS", 600.0)
    async with asyncio.timeout(BOUND):
        assert nodes_of(await page(a))["fake"]["Details"] == found["fake"]["Details"]
    async with a.client.http.get("/ops", headers={"Accept": "application/json"}) as response:
        told: dict[str, Any] = await response.json()
    [missing] = [peer for peer in told["peers"] if peer["node"]["id"] == "fake"]
    assert missing["reason"] == "timeout"
    assert began <= missing["since"] <= time.time()


async def test_the_live_page_does_not_wait_for_a_silent_node(
    tmp_path: Path, table: OwnerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the first time, when nobody knows yet that it is silent: the boards of the others come."""
    monkeypatch.setattr(overviews, "SECONDS", 600.0)
    monkeypatch.setattr(handlers, "EVERY", 0.1)
    async with fake_owner(silent, health=False) as paused:
        peers = [paused.node]
        async with (
            staged_node(tmp_path / "a", "a", table, peers=peers, patience=600.0) as a,
            staged_node(tmp_path / "b", "b", table, peers=peers) as b,
            asyncio.timeout(BOUND),
            a.client.events("/ops/events") as events,
        ):
            first = nodes_of((await anext(events)).data["html"])
            assert (first["fake"]["State"], first["fake"]["Details"]) == ("Unknown", "No answer yet.")
            await b.client.post("there", "hello", **LONG)
            while "there" not in _chats(await anext(events)):
                pass


def _chats(event: Event) -> list[str]:
    if event.name != "board":
        return []
    return [row["Chat"] for row in rows(section(event.data["html"], "running"))]


async def test_the_live_page_tells_when_a_node_falls_silent_and_comes_back(
    tmp_path: Path, table: OwnerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another page load."""
    monkeypatch.setattr(handlers, "EVERY", 0.1)
    speaks = asyncio.Event()
    speaks.set()

    async def moody(conversation: Conversation) -> None:
        if speaks.is_set():
            body = msgspec.json.encode({"node": {"id": "fake"}, "statistics": {"active": 7}})
            conversation.begin("application/json", length=len(body))
            conversation.writer.write(body)
            await conversation.writer.drain()
        await conversation.left()

    async with (
        fake_owner(moody, health=False) as other,
        staged_node(tmp_path, "a", table, peers=[other.node], patience=0.3) as a,
        asyncio.timeout(BOUND),
        a.client.events("/ops/events") as events,
    ):

        async def until(state: str) -> dict[str, str]:
            while True:
                event = await anext(events)
                if event.name == "board" and nodes_of(event.data["html"])["fake"]["State"] == state:
                    return nodes_of(event.data["html"])["fake"]

        assert (await until("Ready"))["Running"] == "7"
        speaks.clear()
        assert "Since" in (await until("Unreachable"))["Details"]
        speaks.set()
        assert (await until("Ready"))["Details"] == NOTHING


async def test_a_node_of_another_kind_breaks_nothing(tmp_path: Path, table: OwnerTable) -> None:
    """What it says cannot be read, and its row says that."""

    async def strange(conversation: Conversation) -> None:
        body = b'{"live": 7}'
        conversation.begin("application/json", length=len(body))
        conversation.writer.write(body)
        await conversation.left()

    async with fake_owner(strange) as other, staged_node(tmp_path, "a", table, peers=[other.node]) as a:
        row = nodes_of(await page(a))["fake"]
        assert row["State"] == "Unreachable"
        assert "unreadable" in row["Details"]


async def test_a_dead_node_is_told_of(tmp_path: Path, table: OwnerTable) -> None:
    """Also once its lease has run out; with the time that PostgreSQL knows."""
    dead = Expired(Node("dead", "http://192.0.2.7:8000"), 1_790_000_000.0)
    async with staged_node(tmp_path, "a", table, peers=[], expired=[dead]) as a:
        row = nodes_of(await page(a))["dead"]
        assert row["State"] == "Down"
        assert row["Details"].startswith("Since 14:13:20 (UTC).")


async def test_it_can_be_asked_by_owner_and_only_by_admins(tmp_path: Path, table: OwnerTable) -> None:
    """On all nodes, as on one."""
    peers: list[Node] = []
    gate = ProxyGate("X-Forwarded-User", ("root",))
    async with (
        staged_node(tmp_path / "a", "a", table, peers=peers, gate=gate, proxies=("127.0.0.1",)) as a,
        staged_node(tmp_path / "b", "b", table, peers=peers, gate=gate, proxies=("127.0.0.1",)) as b,
    ):
        for node, owner in ((a, "alice"), (b, "alice"), (b, "bob")):
            session = f"{node.node.id}-{owner}"
            async with node.client.http.post(
                f"/api/sessions/{session}/streams",
                json={"prompt": "hello", **LONG},
                headers={"X-Forwarded-User": owner},
            ) as response:
                assert response.status == 201
        root = {"X-Forwarded-User": "root"}
        html = await page(a, "/ops?owner=alice", **root)
        assert {row["Chat"] for row in rows(section(html, "running"))} == {"alice/a-alice", "alice/b-alice"}
        assert {row["Owner"] for row in rows(section(await page(a, **root), "running"))} == {"alice", "bob"}
        async with a.client.http.get("/ops/events?owner=bob", headers=root) as response:
            first = await anext(read_events(response))
        assert [row["Chat"] for row in rows(section(first.data["html"], "running"))] == ["bob/b-bob"]
        for path in ("/ops", "/ops?owner=alice", "/ops/events"):
            async with a.client.http.get(path, headers={"X-Forwarded-User": "alice"}) as response:
                await problem(response, 404, "not_found")


async def test_it_speaks_german_and_needs_no_scripts(pair: tuple[StagedNode, StagedNode]) -> None:
    """As the rest does."""
    html = await page(pair[0], **{"Accept-Language": "de"})
    assert '<h2 id="nodes">Knoten</h2>' in html
    assert [row["Zustand"] for row in rows(section(html, "nodes"))] == ["Bereit", "Bereit"]
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in html


async def test_under_a_base_path(tmp_path: Path, table: OwnerTable) -> None:
    """The nodes ask each other under it."""
    peers: list[Node] = []
    async with (
        staged_node(tmp_path / "a", "a", table, peers=peers, base="/chat") as a,
        staged_node(tmp_path / "b", "b", table, peers=peers, base="/chat"),
    ):
        assert nodes_of(await page(a, "/chat/ops"))["b"]["State"] == "Ready"


def reading(name: str, count: int) -> dict[str, Any]:
    """What a node says that has so many streams of each kind."""
    stream = {"owner": "local", "model": "m", "tokens": 1}
    end = {"owner": "local", "model": "m", "outcome": "complete", "duration_ms": 1, "upstream_closed": True}
    return {
        "node": {"id": name, "url": f"http://{name}"},
        "live": [
            {
                **stream,
                "stream_id": f"{name}{n}",
                "session_id": f"{name}{n}",
                "status": "thinking",
                "seconds": n,
            }
            for n in range(count)
        ],
        "more": 1,
        "ended": [
            {**end, "stream_id": f"{name}{n}", "session_id": f"{name}{n}", "ended_at": n}
            for n in range(count)
        ],
    }


def test_the_lists_of_all_nodes_are_bounded() -> None:
    """As those of one: the streams that began first and the latest ends are shown, the others counted."""
    shown = view({**reading("a", 80), "peers": [reading("b", 80), reading("c", 1)]})
    assert (len(shown.live), shown.more) == (100, 3 + 61)
    assert [stream.stream_id for _, stream in shown.live[:3]] == ["a79", "b79", "a78"]
    assert len(shown.ended) == LAST_ENDS
    assert {end.stream_id for _, end in shown.ended[:2]} == {"a79", "b79"}
