"""A signed request of another node is let in; a stranger with a signature gets nowhere."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

from app.cluster.ports import Lease, Node
from app.web.grants import Grant
from app.web.nodes.outgoing import Outgoing
from app.web.nodes.peers import NotBelieved, Peers, Unreachable
from app.web.nodes.signature import HEADER
from app.web.problems import ProblemError
from tests.doubles.owners import OwnerTable
from tests.web.nodes.stage import SECRET, StagedNode, staged_node
from tests.web.stage import problem

SENDER = Node("a", "http://192.0.2.1")
PROMPT = b'{"prompt":"Hello","model":"scripted/short"}'


class Nobody:
    """A gate that lets nobody in."""

    signs_in = True

    def grant(self, request: web.Request) -> Grant | None:
        """See `Gate`."""
        return None

    async def look_again(self, request: web.Request) -> Grant:
        """See `Gate`."""
        raise ProblemError(401, "access_token_required", "Nobody is let in.")


@pytest.fixture
async def node(tmp_path: Path, table: OwnerTable) -> AsyncIterator[StagedNode]:
    """A node that lets in nobody but other nodes, and that owns a session of alice's."""
    async with staged_node(tmp_path, "b", table, gate=Nobody()) as node:
        table.give("alice/s1", node.node)
        yield node


def outgoing(**changes: Any) -> Outgoing:
    """A prompt of alice's."""
    headers = CIMultiDict(
        {"Content-Type": "application/json", "Host": "chat.example", "Idempotency-Key": "k"}
    )
    sent = Outgoing("POST", "/api/sessions/s1/streams", headers, PROMPT, "alice", "192.0.2.9")
    return sent._replace(**changes)


async def send(
    node: StagedNode,
    sent: Outgoing,
    *,
    secret: bytes = SECRET,
    at: float = 0.0,
    body: bytes | None = None,
    **headers: str,
) -> aiohttp.ClientResponse:
    """Send it as another node would, or somebody who pretends to be one."""
    lease = await node.owners.owner("alice/s1")
    signed = sent.signed(secret, lease, SENDER.id, time.time() + at)
    signed.update(headers)
    response = await node.client.http.request(
        sent.method, sent.address, headers=signed, data=sent.body if body is None else body
    )
    await response.read()
    return response


async def test_it_is_let_in(node: StagedNode) -> None:
    """Whatever host it was sent to, and without a token: that was checked where it came from."""
    response = await send(node, outgoing())
    assert response.status == 201
    assert node.registry.find("alice/s1") is not None


async def test_without_a_signature(node: StagedNode) -> None:
    """It is a stranger's request like any other."""
    async with node.client.http.post("/api/sessions/s1/streams", data=PROMPT) as response:
        await problem(response, 401, "access_token_required")


@pytest.mark.parametrize(
    ("secret", "at", "body", "headers"),
    [
        (b"guessed", 0.0, None, {}),
        (SECRET, -31.0, None, {}),
        (SECRET, 31.0, None, {}),
        (SECRET, 0.0, PROMPT.replace(b"Hello", b"Other"), {}),
        (SECRET, 0.0, b"", {}),
        (SECRET, 0.0, None, {"Idempotency-Key": "another"}),
        (SECRET, 0.0, None, {"Content-Type": "application/x-www-form-urlencoded"}),
        (SECRET, 0.0, None, {HEADER: "nonsense"}),
    ],
    ids=["forged", "expired", "not yet", "other body", "no body", "other key", "other type", "nonsense"],
)
async def test_a_wrong_signature(
    node: StagedNode, secret: bytes, at: float, body: bytes | None, headers: dict[str, str]
) -> None:
    """It is refused, and nothing is registered."""
    response = await send(node, outgoing(), secret=secret, at=at, body=body, **headers)
    await problem(response, 401, "peer_unknown")
    assert node.registry.find("alice/s1") is None


async def test_it_opens_one_address_only(node: StagedNode) -> None:
    """Not what is for admins, and not another session's."""
    sent = outgoing()
    lease = await node.owners.owner("alice/s1")
    headers = sent.signed(SECRET, lease, SENDER.id, time.time())
    for path in ("/ops", "/metrics", "/api/sessions/s2/streams"):
        async with node.client.http.post(path, headers=headers, data=PROMPT) as response:
            await problem(response, 401, "peer_unknown")
    for path in ("/ops", "/metrics"):
        response = await send(node, outgoing(method="GET", address=path, body=b""))
        assert response.status == 404


async def test_under_an_old_epoch(node: StagedNode, table: OwnerTable) -> None:
    """Its sender looks at the lease again."""
    lease = table.leases["alice/s1"]
    table.give("alice/s1", node.node)
    headers = outgoing().signed(SECRET, lease, SENDER.id, time.time())
    async with node.client.http.post("/api/sessions/s1/streams", headers=headers, data=PROMPT) as response:
        assert response.status == 421
    assert node.registry.find("alice/s1") is None


async def test_while_the_session_is_being_taken(node: StagedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease is in the database before the node owns it: a request that comes meanwhile waits."""
    headers = outgoing().signed(SECRET, await node.owners.owner("alice/s1"), SENDER.id, time.time())
    is_taken, holds, owner = False, node.owners.holds, node.owners.owner

    async def taking(session_id: str, **how: Any) -> Lease:
        nonlocal is_taken
        lease = await owner(session_id, **how)
        is_taken = True
        return lease

    monkeypatch.setattr(node.owners, "holds", lambda *asked: is_taken and holds(*asked))
    monkeypatch.setattr(node.owners, "owner", taking)
    async with node.client.http.post("/api/sessions/s1/streams", headers=headers, data=PROMPT) as response:
        assert response.status == 201


async def test_for_another_node(node: StagedNode) -> None:
    """Whoever saw a request on its way to one node can have no other one do it, whatever its epoch."""
    lease = (await node.owners.owner("alice/s1"))._replace(node=Node("c", node.node.url))
    headers = outgoing().signed(SECRET, lease._replace(epoch=0), SENDER.id, time.time())
    async with node.client.http.post("/api/sessions/s1/streams", headers=headers, data=PROMPT) as response:
        assert response.status == 421
    assert node.registry.find("alice/s1") is None
    peers = Peers(secret=SECRET, sender=lambda: SENDER, patience=5.0)
    try:
        for asked in (lease, lease._replace(session="", epoch=0)):
            with pytest.raises(Unreachable, match="another node"):
                await peers.send(asked, outgoing(method="GET", address="/ops", body=b""))
    finally:
        await peers.close()


async def test_other_secrets(node: StagedNode) -> None:
    """The sender learns that it is not believed, which no retry changes."""
    peers = Peers(secret=b"another", sender=lambda: SENDER, patience=5.0)
    try:
        with pytest.raises(NotBelieved):
            await peers.send(await node.owners.owner("alice/s1"), outgoing())
    finally:
        await peers.close()
