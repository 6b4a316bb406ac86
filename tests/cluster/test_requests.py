"""Any node takes any request: three processes, a real PostgreSQL, a real Valkey."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from functools import partial

import pytest

from app.chat.states import Outcome
from tests.cluster.nodes import Nodes, Starter, follow, next_named
from tests.support.client import Client
from tests.support.postgres import Postgres
from tests.support.sse import Event
from tests.support.waiting import until, until_told
from tests.web.board_page import rows, section

HTML = {"Accept": "text/html"}
LONG = {"model": "scripted/long"}
BOUND = 10.0  # s; TAILRACE_SUPERSEDE_TIMEOUT, and what a busy machine takes


@pytest.fixture
def session() -> str:
    """A session of the test's own."""
    return f"s{secrets.token_hex(6)}"


async def read_to(events: AsyncIterator[Event], name: str) -> list[Event]:
    """Return the events up to the next of this name."""
    found: list[Event] = []
    async with asyncio.timeout(20):
        async for event in events:
            found.append(event)
            if event.name == name:
                return found
    raise AssertionError(f"no {name} in {found}")


async def test_a_prompt_is_seen_and_stopped_anywhere(nodes: Nodes, session: str) -> None:
    """Each of the three does its part through another node, and everybody gets the same end."""
    async with nodes.clients() as (a, b, c):
        registered = await a.post(session, "Hello", **LONG)
        stream = registered["stream_id"]
        assert (await b.get(f"/api/streams/{stream}"))["outcome"] is None
        async with (
            b.events(f"/api/streams/{stream}/events") as of_stream,
            c.events(f"/api/sessions/{session}/events") as of_session,
            a.events(f"/events?watch={session}:") as of_page_a,
            b.events(f"/events?watch={session}:") as of_page_b,
        ):
            everybody = (of_stream, of_session, of_page_a, of_page_b)
            for events in everybody:
                await next_named(events, "token")
            stopped = await c.stop(stream)
            assert (stopped["outcome"], stopped["upstream_closed"]) == ("stopped", True)
            ends = [await next_named(events, "end") for events in everybody]
        assert len({tuple(sorted((k, str(v)) for k, v in end.data.items())) for end in ends}) == 1
        assert (await b.get(f"/api/streams/{stream}"))["outcome"] == "stopped"


async def test_the_newest_prompt_wins(nodes: Nodes, session: str) -> None:
    """From whichever node it came; one stream runs at a time."""
    async with nodes.clients() as clients:
        streams = [
            (await client.post(session, f"Prompt {n}", **LONG))["stream_id"]
            for n, client in enumerate(clients)
        ]
        last = streams[-1]
        async with clients[0].events(f"/api/streams/{last}/events") as events:
            await next_named(events, "token")
        states = [
            await client.get(f"/api/streams/{stream}")
            for client, stream in zip(clients, streams, strict=True)
        ]
        assert [state["outcome"] for state in states] == ["superseded", "superseded", None]
        await clients[1].delete(f"/api/sessions/{session}/stream")


async def test_cursors_are_the_same_everywhere(nodes: Nodes, session: str) -> None:
    """A transcript that is read through three nodes in turn is that of one."""
    async with nodes.clients() as clients:
        registered = await clients[0].post(session, "Hello", model="scripted/reasoning")
        whole = await clients[1].read_stream(registered["stream_id"])
        for client in clients:
            for event in whole[:-1]:
                rest = await client.read_stream(registered["stream_id"], event.id)
                assert "".join(each.data.get("text", "") for each in rest) in "".join(
                    each.data.get("text", "") for each in whole
                )
                assert rest[-1] == whole[-1]
            async with client.http.get(
                f"/api/streams/{registered['stream_id']}/events", headers={"Last-Event-ID": str(whole[-1].id)}
            ) as response:
                assert response.status == 204


async def test_a_repeated_prompt(nodes: Nodes, session: str) -> None:
    """Sent at once to all nodes under one key, it is one stream."""
    async with nodes.clients() as clients:
        posts = [client.post(session, "Hello", key="k", model="scripted/short") for client in clients]
        registered = await asyncio.gather(*posts)
        assert sorted(each["http"] for each in registered) == [200, 200, 201]
        assert len({each["stream_id"] for each in registered}) == 1


async def test_many_new_sessions_at_once(nodes: Nodes, session: str) -> None:
    """All nodes want each of them; one gets it, and nothing fails."""
    async with nodes.clients() as clients:

        async def post(number: int, client: Client) -> int:
            return int((await client.post(f"{session}-{number}", "Hello", model="scripted/short"))["http"])

        posts = [post(number, client) for number in range(10) for client in clients]
        assert set(await asyncio.gather(*posts)) == {201}


async def test_lines_from_a_prompt(nodes: Nodes, session: str) -> None:
    """The answer to a POST may be the events themselves."""
    async with nodes.clients() as (a, b, _):
        await a.ask(session, "Hello", model="scripted/short")
        async with b.http.post(
            f"/api/sessions/{session}/streams",
            json={"prompt": "Hello", "model": "scripted/short"},
            headers={"Accept": "application/x-ndjson"},
        ) as response:
            assert response.status == 201
            lines = (await response.text()).splitlines()
        assert '"type":"start"' in lines[0]
        assert '"type":"end"' in lines[-1]


async def test_without_scripts(nodes: Nodes, session: str) -> None:
    """A form, the page that grows while the answer comes, and the Stop button, on three nodes."""
    async with nodes.clients(HTML) as (a, b, c):
        form = {"prompt": "Hello", "model": "scripted/long"}
        async with a.http.post(
            f"/api/sessions/{session}/streams", data=form, allow_redirects=False
        ) as response:
            assert response.status == 303
            cookie = {"Cookie": f"tailrace_plain={response.cookies['tailrace_plain'].value}"}
        async with b.http.get(f"/sessions/{session}", headers=cookie) as page:
            seen = b""
            async with asyncio.timeout(20):
                while b"The river turns" not in seen:
                    seen += await page.content.readany()
                async with c.http.post(
                    f"/sessions/{session}/stop", data={}, allow_redirects=False
                ) as response:
                    assert response.status == 303
                seen += await page.read()
        assert seen.rstrip().endswith(b"</html>")


async def test_a_session_is_managed_anywhere(nodes: Nodes, session: str) -> None:
    """Renamed, exported, deleted, restored: each on another node, and tabs everywhere hear of it."""
    async with nodes.clients() as (a, b, c):
        await a.ask(session, "Hello", model="scripted/short")
        async with c.events(f"/events?watch={session}:") as events:
            async with b.http.patch(f"/api/sessions/{session}", json={"title": "Renamed"}) as response:
                assert response.status == 200
            await next_named(events, "list")
        async with c.http.get(f"/api/sessions/{session}/export") as response:
            assert (await response.json(content_type=None))["title"] == "Renamed"
        async with a.events(f"/events?watch={session}:") as events:
            assert (await c.delete(f"/api/sessions/{session}"))["http"] == 204
            assert (await next_named(events, "gone")).data == {"session_id": session}
        assert (await b.get(f"/api/sessions/{session}"))["http"] == 404
        async with b.http.post(f"/api/sessions/{session}/restore") as response:
            assert response.status == 200
        assert (await a.get(f"/api/sessions/{session}"))["title"] == "Renamed"


async def test_a_page_waits_for_its_first_prompt(nodes: Nodes, session: str) -> None:
    """A tab on one node, the prompt on another."""
    async with (
        nodes.clients() as (a, b, c),
        a.events(f"/events?watch={session}:new") as of_page,
        c.events(f"/api/sessions/{session}/events") as of_session,
    ):
        await b.post(session, "Hello", model="scripted/short")
        for events in (of_page, of_session):
            assert (await read_to(events, "end"))[-1].data["outcome"] == Outcome.COMPLETE


async def test_an_import(nodes: Nodes, session: str) -> None:
    """Its session is there for all nodes."""
    async with nodes.clients() as (a, b, c):
        await a.ask(session, "Hello", model="scripted/short")
        async with b.http.get(f"/api/sessions/{session}/export") as response:
            archive = await response.read()
        headers = {"Content-Type": "application/json"}
        async with c.http.post("/api/sessions/import", data=archive, headers=headers) as response:
            assert response.status == 201, await response.text()
            imported = (await response.json(content_type=None))["session_id"]
        assert len((await a.get(f"/api/sessions/{imported}"))["messages"]) == 2
        assert (await b.post(imported, "More", model="scripted/short"))["http"] == 201


async def started_at(nodes: Nodes, stream_id: str) -> int:
    """Return the place of the node that runs a stream. A node that is not ready yet leaves a prompt to another one."""

    def places() -> list[int]:
        return [
            place
            for place, node in enumerate(nodes.processes)
            if f"stream_start trace={stream_id}" in node.log
        ]

    await until(places)
    [place] = places()
    return place


@pytest.mark.parametrize("how", ["killed", "paused"])
async def test_an_owner_that_has_answered_nothing_yet(
    start_nodes: Starter, postgres: Postgres, how: str
) -> None:
    """The prompt is stored: sent again with its key to another node, it is answered, under the same ids."""
    with start_nodes(await postgres.database()) as nodes:
        async with nodes.clients() as clients:
            body = {"key": "k", "model": "scripted/slow-start"}
            first = (await clients[0].post("s1", "Hello", **body))["stream_id"]
            owner = await started_at(nodes, first)
            b, c = (client for place, client in enumerate(clients) if place != owner)
            harm = nodes.kill if how == "killed" else nodes.pause
            harm(owner)
            again = await b.post("s1", "Hello", **body)
            assert (again["http"], again["stream_id"]) == (200, first)
            seen = await follow(c, f"/api/streams/{first}/events", lambda event: event.name == "end")
            names = [event.name for event in seen if event.had_id and event.name != "status"]
            assert (names.count("start"), names.count("end")) == (1, 1)
            assert seen[-1].data["outcome"] == "complete"
            [_, answer] = (await b.get("/api/sessions/s1"))["messages"]
            assert answer["content"] == "Good things take time."
            assert answer["stream_id"] == first


@pytest.mark.parametrize("how", ["killed", "paused"])
async def test_an_owner_that_is(start_nodes: Starter, postgres: Postgres, how: str) -> None:
    """The newest prompt answers elsewhere within its bound, and a viewer of another node goes on from its cursor."""
    loop = asyncio.get_running_loop()
    with start_nodes(await postgres.database()) as nodes:
        async with nodes.clients() as clients:
            first = (await clients[0].post("s1", "Hello", **LONG))["stream_id"]
            owner = await started_at(nodes, first)
            b, c = (client for place, client in enumerate(clients) if place != owner)
            begun, newest = asyncio.Event(), ""

            def is_last(event: Event) -> bool:
                if event.name == "token":
                    begun.set()
                return event.name == "end" and event.data["stream_id"] == newest

            viewing = asyncio.create_task(follow(b, "/api/sessions/s1/events", is_last))
            await begun.wait()
            harm = nodes.kill if how == "killed" else nodes.pause
            harm(owner)
            began = loop.time()
            registered = await c.post("s1", "Newest", model="scripted/short")
            took, newest = loop.time() - began, registered["stream_id"]
            assert registered["http"] == 201
            assert took < BOUND
            seen = [event for event in await viewing if event.had_id]
            places = [tuple(map(int, str(event.id).split("-"))) for event in seen]
            assert places == sorted(set(places))
            ends = {event.data["stream_id"]: event.data for event in seen if event.name == "end"}
            assert ends[first]["outcome"] == "interrupted"
            assert ends[first]["upstream_closed"] is False
            assert ends[newest]["outcome"] == "complete"
            shown = "".join(
                event.data["text"]
                for event in seen
                if event.name == "token" and event.data["stream_id"] == first
            )
            messages = (await b.get("/api/sessions/s1"))["messages"]
            assert messages[1]["content"] == shown
            assert messages[2]["content"] == "Newest"
            # Awake again, the old owner leads to the new one.
            if how == "paused":
                nodes.resume(owner)
                assert (await clients[owner].get("/api/sessions/s1"))["messages"] == messages


async def test_operators_see_all_nodes(start_nodes: Starter, postgres: Postgres) -> None:
    """What runs anywhere; a paused node is unreachable at first and down once it has expired, and comes back."""
    with start_nodes(await postgres.database(), NODE_TTL="10", SUPERSEDE_TIMEOUT="1") as nodes:
        async with nodes.clients() as (a, b, c), asyncio.timeout(120):
            await b.post("s1", "Hello", **LONG)
            places = [url.partition("://")[2] for url in nodes.urls]

            async def states(of: Client) -> dict[str, str]:
                async with of.http.get("/ops", headers=HTML) as response:
                    found = rows(section(await response.text(), "nodes"))
                return {row["Address"]: row["State"] for row in found}

            async def all_ready(of: Client) -> bool:
                return await states(of) == dict.fromkeys(places, "Ready")

            async def is_down() -> bool:
                return (await states(c))[places[1]] == "Down"

            for each in (a, c):  # each learns of the others when it renews itself
                await until_told(partial(all_ready, each))
            async with a.events("/ops/events") as events:

                async def seen(state: str) -> None:
                    """Wait for a board with this state of the second node."""
                    boards: list[object] = []
                    try:
                        async with asyncio.timeout(40):
                            async for event in events:
                                if event.name == "board":
                                    found = rows(section(event.data["html"], "nodes"))
                                    boards.append(found)
                                    if state in {
                                        row["State"] for row in found if row["Address"] == places[1]
                                    }:
                                        assert "Ready" in {
                                            row["State"] for row in found if row["Address"] == places[2]
                                        }
                                        return
                    except TimeoutError:
                        raise AssertionError(
                            f"never {state}: {boards[-1:]} after {len(boards)} boards"
                            f"{[process.log[-3000:] for process in nodes.processes]}"
                        ) from None
                    raise AssertionError(f"never {state}")

                await seen("Ready")
                nodes.pause(1)
                await seen("Unreachable")
                await seen("Down")
                await until_told(is_down)
                nodes.resume(1)
                await seen("Ready")
