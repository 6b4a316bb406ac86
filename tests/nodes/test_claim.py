"""A Redis database is one cluster's, also after it was emptied."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.log.shared.redis.wire import command
from app.nodes import claim
from app.nodes.claim import CLUSTER_KEY
from app.wiring.errors import StartupError
from tests.nodes.conftest import LiveNodes, empty
from tests.support.postgres import Postgres
from tests.support.waiting import until, until_told

pytestmark = pytest.mark.slow


def said(redis_url: str, *words: Any) -> bytes:
    """Send a command to the database of the nodes and return the bytes of its reply."""
    parts = urlsplit(redis_url)
    with socket.create_connection(("127.0.0.1", parts.port or 0), timeout=5) as connection:
        connection.sendall(command("SELECT", parts.path.strip("/")))
        assert connection.recv(64).startswith(b"+OK")
        connection.sendall(command(*words))
        return connection.recv(256)


async def test_an_empty_redis_is_claimed_again(
    nodes: LiveNodes, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So no other cluster starts on it."""
    monkeypatch.setattr(claim, "CLAIM_SECONDS", 0.1)
    a = await nodes.start()
    parts = urlsplit(nodes.redis_url)
    before = said(nodes.redis_url, "GET", CLUSTER_KEY)
    empty(parts.port or 0, int(parts.path.strip("/")))

    async def is_claimed() -> bool:
        return said(nodes.redis_url, "GET", CLUSTER_KEY) == before

    await until_told(is_claimed, within=30)
    assert a.cluster.trouble() == []
    with pytest.raises(StartupError, match="belongs to another cluster"):
        await nodes.start(database_url=await postgres.database())


async def test_another_cluster_has_taken_it(nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node says so, and serves until somebody has decided which of the two goes."""
    monkeypatch.setattr(claim, "CLAIM_SECONDS", 0.1)
    a = await nodes.start()
    own = said(nodes.redis_url, "GET", CLUSTER_KEY).split(b"\r\n")[1]
    said(nodes.redis_url, "SET", CLUSTER_KEY, "theirs")
    await until(lambda: a.cluster.trouble() != [], within=30)
    state = await a.client.get("/readyz")
    assert (state["http"], state["code"]) == (503, "not_ready")
    assert "belongs to another cluster now" in state["detail"]
    assert (await a.client.get("/servez"))["http"] == 200
    said(nodes.redis_url, "SET", CLUSTER_KEY, own)
    await until(lambda: a.cluster.trouble() == [], within=30)
