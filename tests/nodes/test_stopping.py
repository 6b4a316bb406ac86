"""A stop whose answer runs on a node that nobody reaches."""

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
