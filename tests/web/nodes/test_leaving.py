"""A node that leaves ends no running answer but for one that begins in its place; what users stop is not continued."""

from __future__ import annotations

from typing import Any

import pytest

from app.chat.errors import LeaseLost, LongChatsBusy
from app.chat.submission import Submission
from app.cluster.ports import Node
from app.streams.registry import Registered
from app.web.app_keys import HISTORY
from tests.doubles.owners import OwnerTable
from tests.web.nodes.stage import StagedNode
from tests.web.stage import problem

Pair = tuple[StagedNode, StagedNode]
HANG = {"prompt": "Hello", "model": "scripted/hang"}
PROMPTS = "/api/sessions/s1/streams"
NOBODY = Node("dead", "http://127.0.0.1:1")


@pytest.fixture(params=[0, 1], ids=["at the owner", "through another node"])
async def leaving(pair: Pair, table: OwnerTable, request: pytest.FixtureRequest) -> StagedNode:
    """The node that a client asks about a session whose owner leaves while an answer runs."""
    a, b = pair
    assert (await a.client.register("s1", key="first", **HANG))["http"] == 201
    a.owners.claiming, a.owners.elsewhere = False, b.node
    return pair[request.param]


async def test_other_writes(pair: Pair, table: OwnerTable, leaving: StagedNode) -> None:
    """They are handled where the answer runs."""
    lease, http = table.leases["s1"], leaving.client.http
    running = pair[0].registry.find("s1")
    assert running is not None
    async with http.patch("/api/sessions/s1", json={"title": "Rivers"}) as response:
        assert response.status == 200
    async with http.post("/sessions/s1/refresh", data={"prompt": "typed"}) as response:
        assert response.status == 200
    async with http.post(PROMPTS, json={**HANG, "if_active": "reject"}) as response:
        await problem(response, 409, "session_busy")
    for refused in (b"{", b'{"prompt":" "}', b'{"if_active":1}'):
        async with http.post(PROMPTS, data=refused, headers={"Content-Type": "application/json"}) as response:
            assert response.status in (400, 422)
    again = await leaving.client.register("s1", key="first", **HANG)
    assert again["http"] == 200
    queued = await leaving.client.register("s1", **HANG, if_active="enqueue")
    assert (queued["http"], queued["status"]) == (201, "queued")
    assert running.running is not None
    assert running.running.stream_id == again["stream_id"]
    stopped = await leaving.client.delete("/api/sessions/s1/stream")
    assert (stopped["http"], stopped["outcome"]) == (200, "stopped")
    assert table.leases["s1"] == lease


async def test_a_prompt_in_its_place(pair: Pair, table: OwnerTable, leaving: StagedNode) -> None:
    """It is answered by a node that stays."""
    assert (await leaving.client.post("s1", "Hello", model="scripted/short"))["http"] == 201
    assert table.leases["s1"].node == pair[1].node


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/sessions/s1/stream"),
        ("DELETE", "/api/sessions/s1"),
        ("POST", "/sessions/s1/stop"),
        ("POST", "/sessions/s1/delete"),
    ],
)
async def test_a_stop_that_takes_over(pair: Pair, table: OwnerTable, method: str, path: str) -> None:
    """What the takeover interrupted is not continued: here, and if a node that leaves passes it on."""
    a, b = pair
    await a.client.ask("s1", "Hello", model="scripted/short")
    table.give("s1", NOBODY)
    async with a.client.http.request(method, path, allow_redirects=False) as response:
        assert response.status < 500
    assert table.leases["s1"].node == a.node
    assert table.forgotten == ["s1"]
    await a.client.ask("s1", "Hello", model="scripted/short")
    table.leases.clear()
    a.owners.claiming, a.owners.elsewhere = False, b.node
    async with a.client.http.request(method, path, allow_redirects=False) as response:
        assert response.status < 500
    assert table.leases["s1"].node == b.node
    assert table.forgotten == ["s1", "s1"]


async def test_a_stop_waits_for_no_readers_of_long_chats(
    pair: Pair, table: OwnerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through another node, too: that one looks for nothing but what runs."""
    a, b = pair
    assert (await a.client.register("s1", **HANG))["http"] == 201

    async def busy(*_: Any, **__: Any) -> None:
        raise LongChatsBusy

    monkeypatch.setattr(b.app[HISTORY], "excerpt", busy)
    stopped = await b.client.delete("/api/sessions/s1/stream")
    assert (stopped["http"], stopped["outcome"]) == (200, "stopped")


async def test_a_takeover_that_stops_nothing(pair: Pair, table: OwnerTable) -> None:
    """The answer goes on."""
    a, _ = pair
    table.give("s1", NOBODY)
    async with a.client.http.patch("/api/sessions/s1", json={"title": "Rivers"}) as response:
        assert response.status == 404
    assert table.leases["s1"].node == a.node
    assert table.forgotten == []


async def test_a_lease_lost_after_the_admission(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt is tried again, and found to be there already: it has a key from the first try on."""
    a, _ = pair
    register = a.registry.register
    tries: list[Any] = []

    async def fenced(ask: Submission) -> Registered:
        tries.append(ask.key)
        registered = await register(ask)
        if len(tries) == 1:
            raise LeaseLost
        return registered

    monkeypatch.setattr(a.registry, "register", fenced)
    assert (await a.client.post("s1", "Hello", model="scripted/short"))["http"] == 200
    assert len(tries) == 2
    assert tries[0] is not None
    assert tries[0] == tries[1]
    messages = (await a.client.get("/api/sessions/s1"))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"]
