"""A chat that was deleted at one node comes back at any other, whatever has become of the first."""

from __future__ import annotations

from typing import Any

import pytest

from app.chat import undo
from app.history.statements import make_way
from tests.nodes.conftest import LiveNode, LiveNodes
from tests.nodes.test_takeover import hanging
from tests.support.postgres import ask
from tests.support.waiting import until, until_told

pytestmark = pytest.mark.slow
RESTORE = "/api/sessions/s/restore"


async def deleted(node: LiveNode, session: str = "s") -> None:
    """Begin a session at a node, and delete it there."""
    await node.client.ask(session, "hello", model="scripted/short")
    assert node.ownership.holds(session)
    assert (await node.client.delete(f"/api/sessions/{session}"))["http"] == 204


async def restored(node: LiveNode, session: str = "s") -> dict[str, Any]:
    """Restore a session at a node; return what it is now."""
    async with node.client.http.post(f"/api/sessions/{session}/restore") as response:
        body: dict[str, Any] = await response.json()
        assert response.status == 200, body
    return await node.client.get(f"/api/sessions/{body['session_id']}")


def said(session: dict[str, Any]) -> list[str]:
    """What its prompts are."""
    return [message["content"] for message in session["messages"] if message["role"] == "user"]


async def test_at_another_node_than_its_owner(nodes: LiveNodes) -> None:
    """The request goes to the owner. It works once."""
    a, b = await nodes.start(), await nodes.start()
    await deleted(a)
    assert (await b.client.get("/api/sessions/s"))["http"] == 404
    assert said(await restored(b)) == ["hello"]
    for node in (a, b):
        async with node.client.http.post(RESTORE) as response:
            assert response.status == 404
            assert (await response.json())["code"] == "nothing_to_restore"


async def test_its_owner_leaves(nodes: LiveNodes) -> None:
    """In a rolling restart, for instance: it gives up at once what is idle."""
    a, b = await nodes.start(), await nodes.start()
    await deleted(a)
    await a.server.departure.close()
    assert said(await restored(b)) == ["hello"]
    assert b.ownership.holds("s")
    await b.client.ask("s", "more", model="scripted/short")
    assert said(await b.client.get("/api/sessions/s")) == ["hello", "more"]


async def test_its_owner_dies_or_is_overtaken(nodes: LiveNodes) -> None:
    """What ran when it was deleted stays stopped, and old cursors do not hold."""
    a, b = await nodes.start(), await nodes.start(continue_="auto")
    await hanging(a)
    assert (await a.client.delete("/api/sessions/s"))["http"] == 204
    await b.ownership.owner("s", over=1)
    session = await restored(b)
    assert said(session) == ["hello"]
    assert (session["running"], session["messages"][1]["outcome"]) == (None, "stopped")
    await until(lambda: not a.ownership.holds("s"), within=30)
    assert said(await a.client.get("/api/sessions/s")) == ["hello"]


async def test_its_id_is_used_at_another_node(nodes: LiveNodes) -> None:
    """The deleted one comes back under a new id, which the node owns, too."""
    a, b = await nodes.start(), await nodes.start()
    await deleted(a)
    await a.ownership.give("s")
    await b.client.ask("s", "new", model="scripted/short")
    session = await restored(a)
    assert session["session_id"] != "s"
    assert said(session) == ["hello"]
    assert said(await a.client.get("/api/sessions/s")) == ["new"]
    assert b.ownership.holds(session["session_id"])


async def test_the_id_of_a_large_one_is_used_at_another_node(
    nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That node deletes it for good first. The prompt is not refused."""
    monkeypatch.setattr(make_way, "MOST_ROWS", 0)
    a, b = await nodes.start(), await nodes.start()
    await deleted(a)
    await a.ownership.give("s")
    await b.client.ask("s", "new", model="scripted/short")
    assert said(await a.client.get("/api/sessions/s")) == ["new"]
    async with a.client.http.post(RESTORE) as response:
        assert response.status == 404
        assert (await response.json())["code"] == "nothing_to_restore"


@pytest.mark.parametrize("owner", ["stays", "leaves"])
async def test_nothing_is_left_after_its_time(
    nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    """Its owner deletes it for good; if that has left, another node does."""
    monkeypatch.setattr(undo, "SECONDS", 1.0)
    a, b = await nodes.start(), await nodes.start()
    await deleted(a)
    if owner == "leaves":
        await a.server.departure.close()

    async def is_gone() -> bool:
        return not await ask(nodes.database_url, "SELECT count(*) FROM sessions")

    await until_told(is_gone, within=30)
    assert await ask(nodes.database_url, "SELECT count(*) FROM messages") == 0
    async with b.client.http.post(RESTORE) as response:
        assert response.status == 404
