"""What a client gets at a node that does not own its session: the same as at the owner."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import hdrs

from app.tokens import new_token
from tests.nodes.conftest import LiveNode, LiveNodes
from tests.nodes.test_takeover import hanging
from tests.support.client import Client
from tests.support.sse import Event
from tests.support.tokens import bearer, known
from tests.support.waiting import stays, until
from tests.web.stage import until_event

pytestmark = pytest.mark.slow
APP = "https://app.example.org"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
GRACE = 0.5  # s
CUT_SECONDS = 5.0  # 2 s on a machine that does nothing else


@pytest.mark.parametrize("path", ["/api/sessions/s/events", "/events?watch=s:{cursor}"])
async def test_viewers_at_all_nodes_keep_an_answer_alive(nodes: LiveNodes, path: str) -> None:
    """One at another node does, too. When that one leaves the answer has its grace left."""
    a, b = await nodes.start(viewer_grace=GRACE), await nodes.start(viewer_grace=GRACE)
    await hanging(a)
    session = a.registry.session("s")
    path = path.format(cursor=(await b.client.get("/api/sessions/s"))["cursor"])
    async with b.client.events(path):
        await until(lambda: session.viewers == 1, within=30)
        async with a.client.events("/api/sessions/s/events"):
            await until(lambda: session.viewers == 2, within=30)
        await until(lambda: session.viewers == 1, within=30)
        await stays(lambda: session.running is not None, during=3 * GRACE)
    await until(lambda: session.running is None, within=30)
    messages = await a.history.messages("local", "s")
    assert messages[1].outcome == "abandoned"


async def test_a_revoked_token_ends_what_is_passed_on(nodes: LiveNodes) -> None:
    """It was revoked by another node than the one that passes the events of the owner on."""
    a, b = await nodes.start(auth="tokens"), await nodes.start(auth="tokens")
    text, token = new_token("alice", is_admin=False, days=None)
    await a.history.tokens.put(token)
    async with Client(a.server.url, bearer(text)) as at_a, Client(b.server.url, bearer(text)) as at_b:
        for client in (at_a, at_b):
            await known(client, {})
        await at_a.register("s", prompt="hello", model="scripted/hang-middle")
        assert a.ownership.holds("alice/s")
        session = a.registry.session("alice/s")
        async with at_b.events("/api/sessions/s/events") as events:
            await until_event(events, "token")
            await until(lambda: session.viewers == 1, within=30)
            assert await a.history.tokens.revoke("alice")
            rest = []
            async with asyncio.timeout(CUT_SECONDS):
                with suppress(aiohttp.ClientError):  # it is cut, whatever has not been sent
                    rest = [event.name async for event in events]
        assert "end" not in rest
        await until(lambda: session.viewers == 0, within=30)


# ---- other origins -------------------------------------------------------------------------------------------


def allowed(headers: Any) -> dict[str, list[str]]:
    """The headers that let a page of another origin read a response, and the one that keeps caches from mixing them."""
    names = {name for name in headers if name.lower().startswith("access-control-")} | {hdrs.VARY}
    return {name: headers.getall(name, []) for name in sorted(names)}


async def test_other_origins_may_read_what_is_passed_on(nodes: LiveNodes) -> None:
    """Each header is there once, as at the owner; of short and of growing responses, and of refusals."""
    a, b = [await nodes.start(allowed_origins=(APP,)) for _ in range(2)]
    await a.client.ask("s", "hello", model="scripted/short")
    sent = {"Origin": APP, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    prompt = {"prompt": "more", "model": "scripted/short"}
    for method, path, body in (
        ("GET", "/api/sessions/s", None),
        ("GET", "/api/sessions/s/events", None),
        ("GET", "/api/sessions/s/export", None),
        ("POST", "/api/sessions/s/streams", {"prompt": ""}),
        ("POST", "/api/sessions/s/streams", prompt),
        ("DELETE", "/api/sessions/s/stream", None),
    ):
        found = []
        for node in (a, b):
            async with node.client.http.request(method, path, json=body, headers=sent) as response:
                found.append(allowed(response.headers))
                repeated = [name for name, count in Counter(response.headers.keys()).items() if count > 1]
                assert set(repeated) <= {hdrs.SET_COOKIE}, path
        assert found[1] == found[0], path
        assert found[1][hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] == [APP]
        assert all(len(values) == 1 for values in found[1].values()), path


async def test_a_preflight_is_answered_where_it_arrives(nodes: LiveNodes) -> None:
    """It carries no token, and concerns no session."""
    a, b = [await nodes.start(allowed_origins=(APP,), auth="tokens", access_token="x" * 40) for _ in range(2)]
    await a.ownership.own("s")
    async with b.client.http.options("/api/sessions/s/streams", headers={"Origin": APP, **ASKS}) as response:
        assert response.status == 204
        found = allowed(response.headers)
    assert found[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] == [APP]
    assert all(len(values) == 1 for values in found.values())


# ---- lists and rendered answers ------------------------------------------------------------------------------


async def test_all_nodes_list_and_find_all_sessions(nodes: LiveNodes) -> None:
    """Whoever owns them, and also what the owner has just stored; none is taken for it."""
    a, b = await nodes.start(), await nodes.start()
    await a.client.ask("s", "the river", model="scripted/short")
    await b.client.ask("t", "the lake", model="scripted/short")
    for node in (a, b):
        found = [
            [each["session_id"] for each in (await node.client.get(f"/api/sessions{query}"))["sessions"]]
            for query in ("", "?q=the", "?q=river", "?q=ocean")
        ]
        assert found == [["t", "s"], ["t", "s"], ["s"], []]
    assert (a.ownership.holds("s"), b.ownership.holds("t")) == (True, True)
    assert (len(a.ownership), len(b.ownership)) == (1, 1)


def shown(events: list[Event]) -> list[tuple[str, Any]]:
    """What events say, without those that depend on the moment."""
    return [(event.name, event.data) for event in events if event.name in ("start", "token", "block", "end")]


async def rendered(node: LiveNode, cursor: str) -> list[Event]:
    """The events of the session after a cursor, until its answer has ended."""
    async with node.client.events("/api/sessions/s/events?render=html", cursor) as events:
        async with asyncio.timeout(30):
            return await until_event(events, "end")


async def test_rendered_events_after_a_cursor(nodes: LiveNodes) -> None:
    """The blocks of the whole answer, those before the cursor included, as at the owner and in the snapshot."""
    a, b = await nodes.start(), await nodes.start()
    told = [event for event in await a.client.ask("s", "hello", model="scripted/markdown") if event.had_id]
    tokens = [event.id for event in told if event.name == "token"]
    there: list[Event] = []
    for cursor in (told[0].id, tokens[len(tokens) // 2], tokens[-1]):
        assert cursor is not None
        there, here = await rendered(b, cursor), await rendered(a, cursor)
        assert shown(there) == shown(here)
        assert any(event.name == "block" for event in there)
    blocks = {event.data["index"]: event.data["html"] for event in there if event.name == "block"}
    [*_, answer] = (await b.client.get("/api/sessions/s?render=html"))["messages"]
    assert list(blocks.values()) == answer["blocks"]
