"""A short run of chaos in every test run: each fault once, on one cluster. `make chaos` is the long one."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.cluster.chaos.__main__ import SETTINGS
from tests.cluster.chaos.address import Address
from tests.cluster.chaos.checker import KINDS
from tests.cluster.chaos.faults import FAULTS
from tests.cluster.chaos.run import Chaos, Result, Size
from tests.cluster.chaos.table import rows
from tests.cluster.chaos.users import User
from tests.cluster.chaos.viewers import first_token
from tests.cluster.harness.node import NodeProcess
from tests.cluster.harness.running import running_cluster
from tests.support.postgres import Postgres

SHORT = Size(sessions=12, viewers=24, strikes=1, most=3.0)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_nothing_is_lost_repeated_or_stuck(postgres: Postgres, tmp_path: Path) -> None:
    """Under each kind of fault: no overlap, no token lost or repeated, no cursor that skips, no prompt lost."""
    async with running_cluster(tmp_path, await postgres.database(), settings=SETTINGS) as cluster:
        chaos = Chaos(cluster, list(FAULTS), SHORT, "short")
        result = await chaos.run()
    assert result.problems == []
    assert result.faults == len(FAULTS)
    assert result.found.events > 0


def test_the_table_has_all_that_must_be_zero() -> None:
    """A row for each run, with the times of takeovers and each kind of finding."""
    result = Result(faults=2, takeovers=[0.5, 1.5], refused=Counter({"kill -9": 3}))
    result.found.add("lost", "a token")
    heads, row = rows({"kill -9": result})
    assert row[: heads.index("continued")] == ["kill -9", "2", "0", "0", "2", "1.00 s", "1.49 s"]
    cells = dict(zip(heads, row, strict=True))
    assert (cells["lost"], cells["audit"], cells["refused"]) == ("1", "0", "3")
    assert heads[-len(KINDS) :] == list(KINDS)


def test_what_must_not_be() -> None:
    """A finding, an answer that must not be, and a refusal that a dead node is no reason for."""
    assert Result(refused=Counter({"kill -9 of Valkey": 1})).problems == []
    assert len(Result(refused=Counter({"kill -9": 1, "SIGSTOP": 2})).problems) == 1
    assert len(Result(refused=Counter({"": 1}), wrong=["500"]).problems) == 2


@pytest.mark.parametrize(
    ("faults", "blamed"),
    [
        ([], ""),
        (["SIGSTOP", "kill -9"], "kill -9"),
        (["kill -9", "kill -9 of Valkey"], "kill -9 of Valkey"),
    ],
)
async def test_a_request_that_no_node_accepts_is_told(tmp_path: Path, faults: list[str], blamed: str) -> None:
    """Also if there is not even a connection. It is counted for the fault that goes on."""
    wrong: list[str] = []
    nodes = [NodeProcess(number, tmp_path) for number in range(2)]  # nobody listens there
    async with Address(nodes, random.Random("dice")) as address:
        for fault in faults:
            address.struck(fault)
        answer = await User("user", ["s"], address, [], wrong.append).ask("s", within=0.3)
    assert answer.status == 0
    assert address.refused == {blamed: 1}
    assert wrong == ["POST /api/sessions/s/streams: no node accepted it"]


async def test_a_fault_that_may_refuse_is_blamed_first(tmp_path: Path) -> None:
    """A request that was sent while an engine was away is not refused for what came afterwards."""
    asked: list[int] = []

    async def refuse(_: web.Request) -> web.Response:
        asked.append(1)
        address.struck("kill -9")
        return web.Response(status=503)

    app = web.Application()
    app.router.add_get("/", refuse)
    async with TestServer(app) as server, Address([], random.Random("dice")) as address:
        address.nodes.append(NodeProcess(0, tmp_path, port=server.port))
        for fault, blamed in (("kill -9 of Valkey", "kill -9 of Valkey"), ("kill -9", "kill -9")):
            address.struck(fault)
            address.refused.clear()
            await address.send("GET", "/", within=0.05)
            assert address.refused == {blamed: 1}
    assert asked


async def test_the_first_token_is_that_of_the_node_that_was_asked(tmp_path: Path) -> None:
    """What ends before it has any has none; who is left without an answer asks another node."""
    texts = {
        "text": b'event: start\ndata: {}\n\nevent: token\ndata: {"text": "a"}\n\n',
        "none": b"event: end\ndata: {}\n\n",
        "broken": b"event: start\ndata: {}\n\n",
    }
    asked: list[str] = []

    def node_of(number: int, body: str) -> web.Application:
        async def events(_: web.Request) -> web.Response:
            asked.append(body)
            return web.Response(body=texts[body])

        app = web.Application()
        app.router.add_get("/events", events)
        return app

    async with TestServer(node_of(0, "text")) as text, TestServer(node_of(1, "broken")) as broken:
        nodes = [NodeProcess(number, tmp_path, server.port) for number, server in enumerate((text, broken))]
        async with Address(nodes[:1], random.Random("dice")) as address:
            loop = asyncio.get_running_loop()
            began = loop.time()
            seen = await first_token(nodes[1], "/events", address)
            assert seen is not None
            assert began < seen <= loop.time()
            assert asked == ["broken", "text"]
    async with TestServer(node_of(2, "none")) as none, Address([], random.Random("dice")) as address:
        assert await first_token(NodeProcess(2, tmp_path, none.port), "/events", address) is None
