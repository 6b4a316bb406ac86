"""A deletion or a restore that was done, and whose answer was lost, is no failure when it is sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.doubles.owners import OwnerTable
from tests.web.nodes.fake_owner import Conversation, fake_owner
from tests.web.nodes.stage import StagedNode, staged_node


@pytest.fixture
async def node(tmp_path: Path, table: OwnerTable) -> AsyncIterator[StagedNode]:
    """A node whose peer a test plays. It knows the session "there", and no other."""
    async with staged_node(tmp_path, "a", table) as node:
        await node.client.ask("there", "Hello", model="scripted/short")
        yield node


async def found_nothing(conversation: Conversation) -> None:
    """Answer that there is no such session."""
    conversation.begin("application/json", status="404 Not Found", length=2)
    conversation.writer.write(b"{}")


@pytest.mark.parametrize(
    ("method", "path", "status", "location"),
    [
        ("DELETE", "/api/sessions/gone", 204, None),
        ("POST", "/sessions/gone/delete", 303, "/?deleted=gone"),
        ("POST", "/api/sessions/there/restore", 200, None),
        ("POST", "/sessions/there/restore", 303, "/sessions/there"),
        ("POST", "/api/sessions/gone/restore", 404, None),
        ("DELETE", "/api/sessions/gone/stream", 404, None),
    ],
)
@pytest.mark.parametrize("lives", [True, False])
async def test_it_was_done_before(
    node: StagedNode,
    table: OwnerTable,
    method: str,
    path: str,
    status: int,
    location: str | None,
    lives: bool,
) -> None:
    """The owner lives and finds nothing when it is asked again, or it is gone and its successor finds nothing."""
    conversations = 0

    async def answer(conversation: Conversation) -> None:
        nonlocal conversations
        conversations += 1
        if conversations == 1:
            conversation.abort()
        else:
            await found_nothing(conversation)

    session_id = "there" if "there" in path else "gone"
    async with fake_owner(answer, health=lives) as owner:
        table.give(session_id, owner.node)
        async with node.client.http.request(method, path, allow_redirects=False) as response:
            assert response.status == status
            assert response.headers.get("Location") == location
            if status == 200:
                assert (await response.json())["session_id"] == session_id
    assert conversations == (2 if lives else 1)


async def test_what_was_sent_once_is_not_found(node: StagedNode, table: OwnerTable) -> None:
    """As on a single server."""
    async with fake_owner(found_nothing) as owner:
        table.give("gone", owner.node)
        async with node.client.http.delete("/api/sessions/gone") as response:
            assert response.status == 404
