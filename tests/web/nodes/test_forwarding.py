"""A request finds the owner of its session, from whichever node it came to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from yarl import URL

from app.chat.errors import BeingDeleted, DiskFull, HistoryUnavailable, OwnerPrompts
from app.chat.submission import Submission
from app.cluster.ports import Lease
from app.streams.registry import Registered
from app.web.nodes import nodes
from tests.doubles.owners import OwnerTable
from tests.web.nodes.stage import StagedNode, staged_node
from tests.web.stage import problem

Pair = tuple[StagedNode, StagedNode]
HTML = {"Accept": "text/html"}


async def status_of(node: StagedNode, what: bytes, head: bytes, body: bytes = b"") -> int:
    """Send a request byte by byte, and return the status of its response."""
    url = URL(node.node.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(what + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n\r\n" + body)
        async with asyncio.timeout(10):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def test_a_prompt_and_its_events(pair: Pair, table: OwnerTable) -> None:
    """The owner answers; the client sees nothing of that."""
    a, b = pair
    table.give("s1", b.node)
    registered = await a.client.post("s1", "How are you?", model="scripted/echo")
    assert registered["http"] == 201
    assert registered["events_url"].startswith("/api/streams/")
    assert registered["headers"]["Location"] == f"/api/streams/{registered['stream_id']}"
    assert a.registry.find("s1") is None
    async with a.client.events("/api/sessions/s1/events", registered["cursor"]) as events:
        names = [(await anext(events)).name]
        while names[-1] != "end":
            names.append((await anext(events)).name)
    assert names[0] == "start"
    snapshot = await a.client.get("/api/sessions/s1")
    assert [message["content"] for message in snapshot["messages"]] == ["How are you?", "How are you?"]
    assert a.nodes.forwarded == 3


async def test_nobody_owned_it(pair: Pair, table: OwnerTable) -> None:
    """The node that was asked takes it."""
    a, b = pair
    assert (await a.client.post("s1", "Hello", model="scripted/short"))["http"] == 201
    assert table.leases["s1"].node == a.node
    assert (await b.client.delete("/api/sessions/s1/stream"))["http"] in (200, 204)
    assert table.leases["s1"].node == a.node


async def test_reading_alone_takes_nothing(pair: Pair, table: OwnerTable) -> None:
    """Unless what is read is a place in the log, which only an owner has."""
    a, _ = pair
    await a.client.ask("s1", "Hello", model="scripted/short")
    table.leases.clear()
    for path in ("/api/sessions/s1/export", "/sessions/s1/manage"):
        async with a.client.http.get(path) as response:
            assert response.status == 200
        assert not table.leases
    async with a.client.http.head("/sessions/s1") as response:
        assert response.status == 200
    assert not table.leases
    assert (await a.client.get("/api/sessions/s1"))["http"] == 200
    assert table.leases["s1"].node == a.node


async def test_a_session_that_does_not_exist(pair: Pair, table: OwnerTable) -> None:
    """Whoever makes ids up gets no lease for them, whichever node is asked."""
    a, b = pair
    for node in (a, b):
        for path in ("/api/sessions/none", "/sessions/none", "/sessions/none/snapshot"):
            async with node.client.http.get(path) as response:
                assert response.status == 404
    assert not table.leases


async def test_without_a_database_for_leases_it_can_be_read(pair: Pair, table: OwnerTable) -> None:
    """What is stored is shown; who would go on from there has to load it again."""
    a, _ = pair
    await a.client.ask("s1", "Hello", model="scripted/short")
    table.leases.clear()
    a.owners.unavailable = True
    assert (await a.client.get("/api/sessions/s1"))["http"] == 200
    assert (await a.client.get("/api/sessions/s1/events"))["code"] == "history_unavailable"


async def test_a_retried_prompt(pair: Pair, table: OwnerTable) -> None:
    """The client's key is passed on; a prompt without one gets one, or sending it again might double it."""
    a, b = pair
    table.give("s1", b.node)
    first = await a.client.post("s1", "Hello", key="k", model="scripted/short")
    again = await b.client.post("s1", "Hello", key="k", model="scripted/short")
    assert (first["http"], again["http"]) == (201, 200)
    assert first["stream_id"] == again["stream_id"]
    keyless = [await a.client.post("s1", "Hello", model="scripted/short") for _ in range(2)]
    assert [each["http"] for each in keyless] == [201, 201]
    assert keyless[0]["stream_id"] != keyless[1]["stream_id"]


async def test_beyond_a_limit_no_body_is_waited_for(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told at the node that was asked, unless the prompt repeats one that was accepted."""
    a, _ = pair
    assert (await a.client.post("s1", "Hello", key="k", model="scripted/short"))["http"] == 201

    def refuse(_: str) -> None:
        raise OwnerPrompts("Too many messages.", 7)

    monkeypatch.setattr(a.registry.fair_use, "check_prompts", refuse)
    head = b"Content-Type: application/json\r\nIdempotency-Key: another\r\nContent-Length: 1000"
    assert await status_of(a, b"POST /api/sessions/s1/streams", head) == 429
    assert (await a.client.post("s1", "Hello", key="k", model="scripted/short"))["http"] == 200


async def test_headers_that_are_not_utf8(pair: Pair, table: OwnerTable) -> None:
    """The owner refuses them as it does those of its own clients."""
    a, b = pair
    table.give("s1", b.node)
    for node in (b, a):
        head = b"Content-Type: application/json\r\nIdempotency-Key: \xff\r\nContent-Length: 15"
        assert await status_of(node, b"POST /api/sessions/s1/streams", head, b'{"prompt": "a"}') == 422
        head = b"Content-Type: \xff\r\nContent-Length: 15"
        assert await status_of(node, b"PATCH /api/sessions/s1", head, b'{"title": "ab"}') == 415
        head = b"Accept: text/html\r\nX-Note: \xff\r\nCookie: tailrace_theme=\xff"
        assert await status_of(node, b"GET /api/sessions/s1/events?after=1-1", head) == 404


@pytest.mark.parametrize(
    ("what", "head", "status"),
    [
        (b"GET /api/sessions/s1#part", b"Accept: application/json", 200),
        (b"GET /api/sessions/s1?branch=x#part", b"Accept: application/json", 404),
        (b"POST /api/sessions/s1/streams", b"Connection: Idempotency-Key, Content-Type", 200),
    ],
    ids=["a fragment", "a fragment after a query", "headers for one connection"],
)
async def test_what_no_browser_sends(
    pair: Pair, table: OwnerTable, what: bytes, head: bytes, status: int
) -> None:
    """All nodes answer it alike."""
    a, b = pair
    table.give("s1", b.node)
    assert (await b.client.post("s1", "Hello", key="k", model="scripted/short"))["http"] == 201
    body = b'{"prompt": "Hello", "model": "scripted/short"}'
    head += b"\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: %d" % len(body)
    for node in (b, a):
        assert await status_of(node, what, head, body) == status


async def test_a_refusal_passes(pair: Pair, table: OwnerTable) -> None:
    """With its status, its headers and its sentence."""
    a, b = pair
    table.give("s1", b.node)
    async with a.client.http.post("/api/sessions/s1/streams", json={"prompt": 1}) as response:
        await problem(response, 422, "invalid_request")
    async with a.client.http.post("/api/sessions/s1/streams", data=b"x") as response:
        await problem(response, 415, "unsupported_media_type")
    b.registry.drain()
    async with a.client.http.post(
        "/api/sessions/s1/streams", json={"prompt": "Hello", "model": "scripted/short"}
    ) as response:
        assert response.headers["Retry-After"] == "2"
        await problem(response, 503, "draining")


@pytest.mark.parametrize("form", ["json", "data"])
async def test_a_refusal_is_one_line(
    pair: Pair, table: OwnerTable, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """At the node that answers the client, with the owner's code, whether it is a problem object or a page."""
    a, b = pair
    table.give("s1", b.node)
    monkeypatch.setattr(b.registry, "bounds", msgspec.structs.replace(b.registry.bounds, max_streams=0))
    path, sent = "/api/sessions/s1/streams", {"prompt": "Hello", "model": "scripted/short"}
    with capture_logs() as lines:
        async with a.client.http.post(
            path, json=sent if form == "json" else None, data=sent if form == "data" else None, headers=HTML
        ) as response:
            assert response.status == 429
            assert "Tailrace-Code" not in response.headers
    refusals = [line for line in lines if line["event"] == "request_refused"]
    assert [(line["code"], line["path"]) for line in refusals] == [("too_many_streams", path)]
    assert a.nodes.forwarded == 1


async def test_a_form_and_its_cookies(pair: Pair, table: OwnerTable) -> None:
    """303, a cookie from the owner, and the page in the language of this reader."""
    a, b = pair
    table.give("s1", b.node)
    async with a.client.http.post(
        "/api/sessions/s1/streams",
        data={"prompt": "Hello", "model": "scripted/short"},
        headers=HTML,
        allow_redirects=False,
    ) as response:
        assert response.status == 303
        assert response.headers.getall("Location") == ["/sessions/s1"]
        assert "tailrace_plain=1" in response.headers["Set-Cookie"]
    headers = {**HTML, "Cookie": "other=1; tailrace_theme=dark", "Accept-Language": "de"}
    async with a.client.http.get("/sessions/s1", headers=headers) as response:
        page = await response.text()
        assert len(response.headers.getall("Content-Security-Policy")) == 1
        assert len(response.headers.getall("Server")) == 1
        assert len(response.headers.getall("Date")) == 1
    assert 'data-theme="dark"' in page
    assert 'lang="de"' in page


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("DELETE", "/api/sessions/made-up", {}, 404),
        ("DELETE", "/api/sessions/made-up/stream", {}, 404),
        ("PATCH", "/api/sessions/made-up", {"json": {"title": "Mine"}}, 404),
        ("POST", "/api/sessions/made-up/restore", {}, 404),
        ("POST", "/api/sessions/made-up/streams", {"json": {}}, 422),
        (
            "POST",
            "/api/sessions/made-up/streams",
            {"json": {"prompt": "Hi"}, "headers": {"Idempotency-Key": ""}},
            422,
        ),
        ("POST", "/sessions/made-up/stop", {"data": {}}, 404),
        ("POST", "/sessions/made-up/rename", {"data": {"title": "Mine"}}, 404),
        ("POST", "/sessions/made-up/delete", {"data": {}}, 404),
        ("POST", "/sessions/made-up/restore", {"data": {}}, 404),
    ],
)
async def test_a_made_up_id_costs_nothing(
    pair: Pair, table: OwnerTable, method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    """Neither a lease nor a log: anybody could make up as many as they like."""
    async with pair[0].client.http.request(method, path, **sent) as response:
        assert response.status == status
    assert not table.leases


async def test_a_change_of_a_session_that_nobody_owns(pair: Pair, table: OwnerTable) -> None:
    """The node that was asked takes it, if it exists."""
    a, _ = pair
    await a.client.ask("s1", "Hello", model="scripted/short")
    table.leases.clear()
    async with a.client.http.patch("/api/sessions/s1", json={"title": "Mine"}) as response:
        assert response.status == 200
    assert table.leases["s1"].node == a.node


@pytest.mark.parametrize("error", [BeingDeleted, DiskFull])
async def test_a_prompt_that_no_node_can_take(
    pair: Pair, table: OwnerTable, monkeypatch: pytest.MonkeyPatch, error: Callable[..., HistoryUnavailable]
) -> None:
    """The session stays where it is, and the client gets the owner's reason."""
    a, b = pair
    lease = table.give("s1", b.node)

    async def refuse(_: Submission) -> Registered:
        raise error()

    monkeypatch.setattr(b.registry, "register", refuse)
    refused = await a.client.post("s1", "Hello", model="scripted/short")
    assert refused["code"] == error().code
    assert table.leases["s1"] == lease


async def test_the_owner_moved(pair: Pair, table: OwnerTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node that was the owner refuses, and the next look at the lease finds the new one."""
    a, b = pair
    table.give("s1", b.node)
    looked: list[Lease] = []
    find = a.owners.owner

    async def outdated(session_id: str, **how: Any) -> Lease:
        lease = await find(session_id, **how)
        if not looked:
            looked.append(lease)
            table.give("s1", a.node)
        return lease

    monkeypatch.setattr(a.owners, "owner", outdated)
    with capture_logs() as lines:
        assert (await a.client.post("s1", "Hello", model="scripted/short"))["http"] == 201
    assert "request_refused" not in {line["event"] for line in lines}, "the client was not refused"
    assert looked[0].node == b.node
    assert a.registry.find("s1") is not None
    assert b.registry.find("s1") is None


async def test_it_is_never_passed_on_twice(
    pair: Pair, table: OwnerTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that is taken for the owner says so; nodes that disagree do not send a request round."""
    a, b = pair

    async def always_b(session_id: str, **_: Any) -> Lease:
        return table.leases[session_id]._replace(node=b.node, epoch=99)

    table.give("s1", a.node)
    monkeypatch.setattr(a.owners, "owner", always_b)
    async with a.client.http.get("/api/sessions/s1") as response:
        await problem(response, 503, "node_unreachable")
        assert response.headers["Retry-After"] == "2"
    assert a.nodes.forwarded == b.nodes.forwarded == 0


async def test_nobody_takes_it(pair: Pair) -> None:
    """No node is blamed if none may take a free session."""
    a, b = pair
    a.owners.claiming, a.owners.elsewhere = False, b.node
    b.owners.claiming, b.owners.elsewhere = False, a.node
    answer = await a.client.post("s1", "Hello", model="scripted/short")
    assert (answer["http"], answer["code"]) == (503, "history_unavailable")


async def test_nodes_that_leave_together(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is asked names another one after the other: each that has refused is avoided."""
    a, b = pair
    owner, avoided = a.owners.owner, list[set[str]]()

    async def watched(session_id: str, *, avoid: set[str], **how: Any) -> Lease:
        avoided.append(set(avoid))
        b.owners.claiming = len(avoided) > 1
        return await owner(session_id, **how)

    a.owners.claiming, a.owners.elsewhere = False, b.node
    monkeypatch.setattr(a.owners, "owner", watched)
    assert (await a.client.post("s1", "Hello", model="scripted/short"))["http"] == 201
    assert avoided == [set(), {b.node.id}]


async def test_a_search_is_bounded_in_time(
    pair: Pair, table: OwnerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the engines are slow, each of its moves may take seconds."""
    a, b = pair
    monkeypatch.setattr(nodes, "LEEWAY", -a.nodes.cluster.ttl)
    a.owners.claiming, a.owners.elsewhere = False, b.node
    b.owners.claiming = False
    assert (await a.client.post("s1", "Hello", model="scripted/short"))["http"] == 503
    assert a.owners.asked == ["s1"]


async def test_a_node_that_leaves_passes_new_prompts_on(pair: Pair, table: OwnerTable) -> None:
    """Also those of a session that it owns."""
    a, b = pair
    await a.client.post("s1", "Hello", model="scripted/long")
    a.owners.claiming, a.owners.elsewhere = False, b.node
    assert (await a.client.post("s2", "Hello", model="scripted/short"))["http"] == 201
    assert table.leases["s2"].node == b.node
    assert (await a.client.post("s1", "Hello", model="scripted/short"))["http"] == 201
    assert table.leases["s1"].node == b.node


@pytest.mark.parametrize("path", ["/chat/api/sessions/s1/streams", "/api/sessions/s1/streams"])
async def test_under_a_base_path(tmp_path: Path, table: OwnerTable, path: str) -> None:
    """Whether or not a proxy takes the path away."""
    async with (
        staged_node(tmp_path / "a", "a", table, base="/chat") as a,
        staged_node(tmp_path / "b", "b", table, base="/chat") as b,
    ):
        table.give("s1", b.node)
        async with a.client.http.post(path, json={"prompt": "Hi", "model": "scripted/short"}) as response:
            assert response.status == 201
            assert response.headers["Location"].startswith("/chat/api/streams/")


async def test_the_list_of_sessions_changes_everywhere(pair: Pair, table: OwnerTable) -> None:
    """A tab on another node hears of it."""
    a, b = pair
    async with b.client.events("/events?watch=s9:new") as events:
        await a.client.post("s1", "Hello", model="scripted/short")
        async with asyncio.timeout(10):
            while (await anext(events)).name != "list":
                pass
    assert table.hints.count(("list", "local")) == 1  # nobody tells on what was told


async def test_nodes_go_by_their_common_clock(tmp_path: Path, table: OwnerTable) -> None:
    """Whatever those of their machines say. One that does not know it is not believed."""
    async with (
        staged_node(tmp_path / "a", "a", table, now=lambda: 1000.0) as a,
        staged_node(tmp_path / "b", "b", table, now=lambda: 1010.0) as b,
        staged_node(tmp_path / "c", "c", table, now=lambda: 1100.0) as c,
    ):
        table.give("s1", b.node)
        assert (await a.client.post("s1", "Hello", model="scripted/short"))["http"] == 201
        assert (await c.client.post("s1", "Hello", model="scripted/short"))["code"] == "node_unreachable"
