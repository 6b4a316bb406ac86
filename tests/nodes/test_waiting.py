"""Event streams of sessions that do not exist yet, on real engines: they take no lease, and survive a lost hint."""

from __future__ import annotations

import asyncio

import pytest

from app.cluster.cluster import SESSION_BEGUN
from app.web.nodes import begun
from tests.nodes.conftest import LiveNodes
from tests.support.postgres import ask
from tests.support.waiting import until
from tests.web.nodes.test_page_events import until_event

pytestmark = pytest.mark.slow


async def leases(nodes: LiveNodes) -> int:
    """How many leases PostgreSQL has, released ones too."""
    return int(await ask(nodes.database_url, "SELECT count(*) FROM leases"))


@pytest.mark.parametrize("is_lost", [False, True])
async def test_it_is_seen_from_the_beginning(
    nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    """By a hint, or by looking: then it may have ended already."""
    monkeypatch.setattr(begun, "LOOK_SECONDS", 0.2 if is_lost else 1000.0)
    a, b = await nodes.start(), await nodes.start()
    send, sent = b.cluster.hints.send, list[str]()

    def lossy(kind: str, *words: str) -> None:
        sent.append(kind)
        if not (is_lost and kind == SESSION_BEGUN):
            send(kind, *words)

    monkeypatch.setattr(b.cluster.hints, "send", lossy)
    async with a.client.events("/api/sessions/s/events") as events:
        await until(lambda: a.registry.arrivals.waiting == 1, within=30)
        assert await leases(nodes) == 0
        await b.client.ask("s", "hello", model="scripted/short")
        names: list[str] = []
        async with asyncio.timeout(30):
            async for event in events:
                names += [event.name] if event.had_id else []
                if event.name == "end":
                    break
    assert (names[0], names.count("start"), names[-1]) == ("start", 1, "end")
    assert sent.count(SESSION_BEGUN) == 1
    assert b.ownership.holds("s", 1)


@pytest.mark.parametrize("render", ["", "?render=html"])
async def test_everybody_sees_the_same(nodes: LiveNodes, render: str) -> None:
    """Whoever waits, and wherever."""
    a, b = await nodes.start(), await nodes.start()
    path = f"/api/sessions/s/events{render}"
    async with a.client.events(path) as first, a.client.events(path) as second, b.client.events(path) as own:
        await until(lambda: a.registry.arrivals.waiting == 2 and b.registry.arrivals.waiting == 1, within=30)
        await b.client.register("s", prompt="hello", model="scripted/short")
        found = [
            [event for event in await until_event(each, "end") if event.had_id]
            for each in (first, second, own)
        ]
    assert [[event.name for event in each if event.name in ("start", "end")] for each in found] == [
        ["start", "end"]
    ] * 3
    assert found[0][0] == found[1][0] == found[2][0]
    text = ["".join(event.data["text"] for event in each if event.name == "token") for each in found]
    assert text[0] == text[1] == text[2] != ""
    assert found[0][-1] == found[1][-1] == found[2][-1]


async def test_a_page_goes_on(nodes: LiveNodes) -> None:
    """In its one response, and without a lease before."""
    a, b = await nodes.start(), await nodes.start()
    async with a.client.events("/events?watch=s:new") as events:
        await until(lambda: a.registry.arrivals.waiting == 1, within=30)
        assert await leases(nodes) == 0
        await b.client.register("s", prompt="hello", model="scripted/short")
        names = [event.name for event in await until_event(events, "end") if event.had_id]
    assert (names[0], names.count("start"), names[-1]) == ("start", 1, "end")
    assert b.ownership.holds("s", 1)


async def test_its_owner_cannot_be_reached(nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response ends after a bound, and its client comes back."""
    a = await nodes.start()
    monkeypatch.setattr(begun, "LEEWAY", 1.0 - a.cluster.ttl)
    async with a.client.events("/api/sessions/s/events") as events:
        await until(lambda: a.registry.arrivals.waiting == 1, within=30)
        await ask(
            nodes.database_url,
            "INSERT INTO nodes VALUES ('gone', 'http://127.0.0.1:9', now() + interval '1 hour')",
        )
        await ask(nodes.database_url, "INSERT INTO leases VALUES ('s', 'gone', 1, now())")
        a.registry.arrivals.tell("local", "s")
        async with asyncio.timeout(30):
            assert "start" not in {event.name async for event in events}


async def test_only_the_first_prompt_is_told(nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hint to all nodes for each prompt would cost all of them."""
    a = await nodes.start()
    sent: list[str] = []
    monkeypatch.setattr(a.cluster.hints, "send", lambda kind, *words: sent.append(kind))
    for number in range(3):
        await a.client.ask("s", f"number {number}", model="scripted/short")
    assert sent.count(SESSION_BEGUN) == 1


async def test_many_are_looked_up_in_turn(nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few at a time, and each of them in the end."""
    monkeypatch.setattr(begun, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(begun, "LOOKS", 2)
    a, b = await nodes.start(), await nodes.start()
    monkeypatch.setattr(b.cluster.hints, "send", lambda kind, *words: None)
    told: list[str] = []
    arrivals = a.registry.arrivals
    sessions = [f"s{number}" for number in range(7)]

    def tell(session: str) -> None:
        told.append(session)

    waits = [
        arrivals.wait("local", session, lambda _cursor, session=session: tell(session), most=100)  # type: ignore[misc]
        for session in sessions
    ]
    for wait in waits:
        wait.__enter__()
    await b.client.ask("s6", "hello", model="scripted/short")
    await until(lambda: "s6" in told, within=30)
    assert set(told) == {"s6"}
    for wait in waits:
        wait.__exit__(None, None, None)
