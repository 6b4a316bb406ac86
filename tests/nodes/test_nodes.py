"""A server as a node: what it needs, what it shares with the others, and how it leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.chat.errors import TooManyStreams
from app.chat.states import Outcome
from app.chat.submission import Submission
from app.cluster.departure import Departure
from app.history import sign
from app.log.entries import End
from app.streams.registry import Registered
from app.wiring.errors import StartupError
from tests.doubles.tcp_proxy import TcpProxy
from tests.nodes.conftest import LiveNodes
from tests.support.postgres import Postgres
from tests.support.server import serve
from tests.support.waiting import stays, until, until_told

pytestmark = pytest.mark.slow


async def test_a_cluster_needs_postgresql(tmp_path: Path) -> None:
    """A file of SQLite is one machine's."""
    with pytest.raises(StartupError, match="needs one PostgreSQL for all"):
        async with serve(tmp_path, redis_url="redis://127.0.0.1:1/0"):
            pass


async def test_redis_has_to_be_there(postgres: Postgres, tmp_path: Path) -> None:
    """The start says so in a sentence."""
    with pytest.raises(StartupError, match=r"TAILRACE_REDIS_URL: cannot use Redis at 127\.0\.0\.1:1"):
        async with serve(tmp_path, database_url=await postgres.database(), redis_url="redis://127.0.0.1:1/0"):
            pass


@pytest.mark.parametrize("both", [False, True])
async def test_an_option_that_means_nothing_is_refused(
    postgres: Postgres, tmp_path: Path, *, both: bool
) -> None:
    """It would be dropped in silence. The counts of wrong tokens take the same address, whoever names it."""
    url = "rediss://127.0.0.1:1/0?ssl_ca_certs=/etc/ca.pem"
    counts: dict[str, Any] = {"guesses_url": url} if both else {}
    with pytest.raises(StartupError, match=r"TAILRACE_REDIS_URL: .*leave out ssl_ca_certs.*SSL_CERT_FILE"):
        async with serve(tmp_path, database_url=await postgres.database(), redis_url=url, **counts):
            pass


async def test_no_other_server_on_the_same_database(
    nodes: LiveNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without Redis would not see the leases."""
    monkeypatch.setattr(sign, "TAKEOVER_SECONDS", 0.0)
    await nodes.start()
    with pytest.raises(StartupError, match="another Tailrace server is running on this PostgreSQL database"):
        async with serve(tmp_path / "alone", database_url=nodes.database_url):
            pass


async def test_no_other_cluster_on_the_same_redis(nodes: LiveNodes, postgres: Postgres) -> None:
    """Their sessions may have the same ids."""
    await nodes.start()
    with pytest.raises(StartupError, match="belongs to another cluster"):
        await nodes.start(database_url=await postgres.database())


async def test_nodes_have_the_same_secrets(nodes: LiveNodes) -> None:
    """What one of them signs, the others believe; and nothing shows it."""
    a, b = await nodes.start(), await nodes.start()
    assert a.cluster.secret == b.cluster.secret
    assert len(a.cluster.secret) == 32
    assert "secret" not in repr(a.cluster)
    assert await a.history.secret("cookies", b"other") == await b.history.secret("cookies", b"another")


async def test_nodes_hear_each_other(nodes: LiveNodes) -> None:
    """A hint reaches all nodes but its sender."""
    a, b = await nodes.start(), await nodes.start()
    heard: list[tuple[str, str]] = []
    a.cluster.hints.listen("test", lambda word: heard.append(("a", word)))
    b.cluster.hints.listen("test", lambda word: heard.append(("b", word)))

    async def arrived() -> bool:
        a.cluster.hints.send("test", "news")
        return bool(heard)

    await until_told(arrived, within=30)
    assert set(heard) == {("b", "news")}


async def test_readiness_tells_why(nodes: LiveNodes) -> None:
    """A node that leaves is not ready, and says so."""
    a = await nodes.start()
    assert isinstance(a.server.departure, Departure)
    assert (await a.client.get("/readyz"))["http"] == 200
    assert a.cluster.trouble() == []
    a.server.departure.stop_claiming()
    for path in ("/readyz", "/servez"):
        left = await a.client.get(path)
        assert (left["http"], left["code"]) == (503, "not_ready")
        assert left["detail"] == "Not ready: this node leaves the cluster."


async def test_a_node_without_its_engine_still_serves(nodes: LiveNodes) -> None:
    """It is not ready for prompts, but a load balancer that takes it away takes all nodes away."""
    async with TcpProxy(urlsplit(nodes.redis_url).port or 0).serving() as network:
        a = await nodes.start(redis_url=f"redis://127.0.0.1:{network.port}{urlsplit(nodes.redis_url).path}")
        network.cut()
        await until(lambda: list(a.cluster.trouble()) != [], within=30)
        assert (await a.client.get("/readyz"))["code"] == "not_ready"
        assert (await a.client.get("/servez")) == {"http": 200, "status": "serving"}


async def test_an_interrupted_answer_goes_on_elsewhere(nodes: LiveNodes) -> None:
    """In the same message: its node leaves, and another one continues it at once."""
    a, b = await nodes.start(continue_="auto"), await nodes.start(continue_="auto", node_ttl=3.0)
    await a.ownership.own("s")
    await a.client.register("s", prompt="hello", model="scripted/long")
    log = a.registry.session("s").log
    await until(lambda: log.answer is not None and log.answer.tokens > 5, within=30)
    await a.server.departure.close()
    await until(lambda: b.ownership.holds("s", 2), within=30)
    await until(lambda: b.registry.session("s").log.answer is not None, within=30)
    messages = await b.history.messages("local", "s")
    assert len(messages) == 2
    answer = b.registry.session("s").log.answer
    assert answer is not None
    assert answer.message_id == messages[1].message_id
    assert answer.begun.content.startswith("The river")
    entries = b.registry.session("s").log.read(0).entries
    turn = [entry.name for entry in entries].index("end")
    assert entries[turn + 1].name == "start"
    end = entries[turn].event
    assert isinstance(end, End)
    assert end.outcome is Outcome.INTERRUPTED


async def test_what_a_user_stops_is_not_continued(nodes: LiveNodes) -> None:
    """Not even where the request to stop it was the reason for a takeover."""
    a, b = await nodes.start(continue_="auto"), await nodes.start(continue_="auto")
    await a.ownership.own("s")
    await a.client.register("s", prompt="hello", model="scripted/hang-middle")
    log = a.registry.session("s").log
    await until(lambda: log.answer is not None and bool(log.answer.content), within=30)
    assert (await b.ownership.owner("s", over=1)).epoch == 2
    await b.client.delete("/api/sessions/s/stream")
    session = b.registry.session("s")
    await stays(lambda: session.running is None, during=1.0)


async def test_a_made_up_id_leaves_no_row(nodes: LiveNodes) -> None:
    """Not even where the write itself would be refused for want of a lease."""
    a = await nodes.start()
    async with a.client.http.post("/sessions/made-up/rename", data={"title": "Mine"}) as response:
        assert response.status == 404
    assert (await a.client.delete("/api/sessions/made-up"))["http"] == 404
    assert await a.ownership.find("made-up") is None
    assert len(a.ownership) == 0


@pytest.mark.parametrize("path", ["/api/sessions/s/stream", "/api/streams/{stream}"])
async def test_what_a_user_stopped_is_continued_by_no_later_owner(nodes: LiveNodes, path: str) -> None:
    """Neither by one that takes the session, nor by a node that starts. Its end stays the one that was told."""
    a, b = await nodes.start(), await nodes.start()
    await a.ownership.own("s")
    posted = await a.client.register("s", prompt="hello", model="scripted/hang-middle")
    log = a.registry.session("s").log
    await until(lambda: log.answer is not None and bool(log.answer.content), within=30)
    assert (await b.ownership.owner("s", over=1)).epoch == 2
    await b.client.delete(path.format(stream=posted["stream_id"]))
    state = await b.history.stream("local", posted["stream_id"])
    assert state.outcome is Outcome.INTERRUPTED
    await b.ownership.give("s")
    c = await nodes.start(continue_="auto")
    await c.ownership.own("s")
    session = c.registry.session("s")
    await stays(lambda: session.running is None, during=1.0)
    assert (await c.history.messages("local", "s"))[-1].stream_id == posted["stream_id"]


async def test_a_session_that_was_given_up_is_continued(
    nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looked at it while its answer had to wait. The node that tries again takes it once more."""
    a, b = await nodes.start(), await nodes.start(continue_="auto")
    await a.ownership.own("s")
    posted = await a.client.register("s", prompt="hello", model="scripted/long")
    log = a.registry.session("s").log
    await until(lambda: log.answer is not None and log.answer.tokens > 5, within=30)
    register, tried = b.registry.register, asyncio.Event()

    async def full(_: Submission) -> Registered:
        tried.set()
        raise TooManyStreams("There is no room now.")

    monkeypatch.setattr(b.registry, "register", full)
    await b.ownership.owner("s", over=1)
    await tried.wait()
    await b.ownership.give("s")
    monkeypatch.setattr(b.registry, "register", register)

    def running() -> bool:
        session = b.registry.find("s")
        return session is not None and session.running is not None

    await until(running, within=30)
    messages = await b.history.messages("local", "s")
    assert [message.role for message in messages] == ["user", "assistant"]
    assert messages[-1].stream_id != posted["stream_id"]


async def test_a_stop_by_the_stream_that_was_known(nodes: LiveNodes) -> None:
    """Its node is gone, another one continues the answer, and the viewer has not come back yet."""
    a, b = await nodes.start(), await nodes.start(continue_="auto")
    await a.ownership.own("s")
    posted = await a.client.register("s", prompt="hello", model="scripted/long")
    log = a.registry.session("s").log
    await until(lambda: log.answer is not None and log.answer.tokens > 5, within=30)
    await b.ownership.owner("s", over=1)
    await until(lambda: b.registry.session("s").running is not None, within=30)
    stopped = await b.client.stop(posted["stream_id"])
    assert (stopped["http"], stopped["outcome"], stopped["upstream_closed"]) == (200, "stopped", True)
    assert b.registry.session("s").running is None
    assert (await b.history.messages("local", "s"))[-1].outcome is Outcome.STOPPED


@pytest.mark.parametrize("path", ["/api/sessions/s/stream", "/api/streams/{stream}"])
async def test_a_stop_while_its_session_moves(
    nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Its answer has been interrupted, and the lease not been released. The next owner does not continue it."""
    a, b = await nodes.start(continue_="auto"), await nodes.start(continue_="auto")
    await a.ownership.own("s")
    posted = await a.client.register("s", prompt="hello", model="scripted/hang-middle")
    log = a.registry.session("s").log
    await until(lambda: log.answer is not None and bool(log.answer.content), within=30)
    reached, settled, settle = asyncio.Event(), asyncio.Event(), a.history.settle

    async def slow() -> None:
        reached.set()
        await settled.wait()
        await settle()

    monkeypatch.setattr(a.history, "settle", slow)
    assert isinstance(a.server.departure, Departure)
    a.server.departure.stop_claiming()
    giving = asyncio.create_task(a.ownership.give("s"))
    await reached.wait()
    stopping = asyncio.create_task(b.client.delete(path.format(stream=posted["stream_id"])))
    await asyncio.wait({stopping}, timeout=1.0)  # it may wait for the move, or be answered before
    settled.set()
    await giving
    assert (await stopping)["http"] in (200, 204)
    await until(lambda: b.ownership.holds("s", 2), within=30)
    session = b.registry.session("s")
    await stays(lambda: session.running is None, during=1.0)
    assert (await b.history.messages("local", "s"))[-1].stream_id == posted["stream_id"]


async def test_prompts_without_redis_change_no_owner(nodes: LiveNodes) -> None:
    """They are refused with a sentence, and afterwards the session is taken for the first time."""
    url = urlsplit(nodes.redis_url)
    assert url.port is not None
    async with TcpProxy(url.port).serving() as proxy:
        a = await nodes.start(redis_url=f"redis://127.0.0.1:{proxy.port}{url.path}")
        proxy.cut()
        await until(lambda: a.cluster.trouble(), within=30)
        asking = [a.client.register("s", prompt="hello", model="scripted/short") for _ in range(3)]
        refused = await asyncio.gather(*asking)
        assert {(one["http"], one["code"]) for one in refused} == {(503, "history_unavailable")}
        proxy.mend()
        await until(lambda: not a.cluster.trouble(), within=30)
        assert (await a.ownership.owner("s")).epoch == 1
