"""A stop at a node, while the owner of its session is one that nobody reaches."""

from __future__ import annotations

import pytest
from yarl import URL

from tests.doubles.tcp_proxy import TcpProxy
from tests.nodes.conftest import LiveNodes
from tests.nodes.test_takeover import hanging

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("of", ["the session", "the stream"])
async def test_a_stop_takes_an_answer_from_a_node_that_is_silent(nodes: LiveNodes, of: str) -> None:
    """It says how the answer ended, and that its model may still run."""
    async with TcpProxy(0).serving() as network:
        a = await nodes.start(node_url=f"http://127.0.0.1:{network.port}")
        b = await nodes.start()
        network.target = URL(a.server.client.url).port or 0
        stream = await hanging(a)
        network.freeze()
        path = "/api/sessions/s/stream" if of == "the session" else f"/api/streams/{stream}"
        stopped = await b.client.delete(path)
        assert stopped["http"] == 200
        assert (stopped["outcome"], stopped["upstream_closed"]) == ("interrupted", False)
        assert (await b.client.delete("/api/sessions/s/stream"))["http"] == 204


async def test_a_stop_of_an_answer_that_has_ended_takes_nothing(nodes: LiveNodes) -> None:
    """It is told how that one ended, and the answer that runs by now goes on."""
    async with TcpProxy(0).serving() as network:
        a = await nodes.start(node_url=f"http://127.0.0.1:{network.port}")
        b = await nodes.start()
        network.target = URL(a.server.client.url).port or 0
        first = await a.client.ask("s", "hello", model="scripted/short")
        await a.history.settle()
        await hanging(a)
        network.freeze()
        stopped = await b.client.stop(first[-1].data["stream_id"])
        assert (stopped["http"], stopped["outcome"], stopped["upstream_closed"]) == (200, "complete", True)
        assert a.ownership.holds("s", 1)
        assert a.server.scripted.ledger.open == 1
