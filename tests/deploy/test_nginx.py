"""A real nginx with the shipped site in front of a real server: nothing is held back, all gets through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientResponse, ClientSession, ClientTimeout

from tests.deploy.gated import MODEL, GatedModel
from tests.deploy.running import nginx, tailrace
from tests.machine import need

BOUND = 20.0  # seconds for any one step; a proxy that buffers holds headers or a token back for ever
TIMEOUT = ClientTimeout(total=None, sock_read=BOUND)
TOKENS = [f"t{number} " for number in range(25)]


class Event(NamedTuple):
    """One event as a client gets it."""

    id: str
    name: str
    data: dict[str, Any]


class Chain(NamedTuple):
    """Client, nginx, Tailrace and model, as they are in production."""

    client: ClientSession  # speaks to nginx
    model: GatedModel


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    """Start the chain from the model up."""
    program = need("nginx")
    for folder in ("data", "nginx"):
        (tmp_path / folder).mkdir()
    with ExitStack() as stack:
        async with GatedModel(TOKENS).serving() as model:
            server = tailrace(tmp_path / "data", OPENAI_URL=model.url, DEFAULT_MODEL=MODEL)
            upstream = await asyncio.to_thread(stack.enter_context, server)
            port = await asyncio.to_thread(stack.enter_context, nginx(program, tmp_path / "nginx", upstream))
            async with ClientSession(f"http://127.0.0.1:{port}", timeout=TIMEOUT) as client:
                yield Chain(client, model)
            await asyncio.to_thread(stack.close)


async def post(chain: Chain, prompt: str = "Count.") -> dict[str, Any]:
    """Send a prompt through nginx and return the answer of the POST."""
    async with chain.client.post("/api/sessions/s1/streams", json={"prompt": prompt}) as response:
        assert response.status == 201, await response.text()
        created: dict[str, Any] = await response.json()
        return created


async def events(response: ClientResponse) -> AsyncIterator[Event]:
    """Read events as they come."""
    fields: dict[str, str] = {}
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "event" in fields:
            yield Event(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
            fields = {}


async def tokens(response: ClientResponse) -> AsyncIterator[Event]:
    """Read events up to the `end`, and pass the tokens on."""
    async for event in events(response):
        if event.name == "token":
            yield event
        elif event.name == "end":
            return


async def take(stream: AsyncIterator[Event], chain: Chain, count: int) -> list[Event]:
    """Let `count` tokens out of the model, each only after the one before it has arrived here."""
    taken = []
    for _ in range(count):
        chain.model.gate.release()
        async with asyncio.timeout(BOUND):
            taken.append(await anext(stream))
    return taken


def texts(taken: list[Event]) -> list[str]:
    """Return the tokens' texts."""
    return [event.data["text"] for event in taken]


async def test_every_token_arrives_before_the_next_is_made(chain: Chain) -> None:
    """The model makes its next token only once the last one has come through nginx: none is buffered."""
    created = await post(chain)
    async with chain.client.get(created["events_url"]) as response:
        assert texts(await take(tokens(response), chain, len(TOKENS))) == TOKENS


async def test_a_post_can_be_answered_with_the_events(chain: Chain) -> None:
    """The one-line `curl -N` way is not buffered either."""
    headers = {"Accept": "text/event-stream"}
    async with chain.client.post(
        "/api/sessions/s1/streams", json={"prompt": "Count."}, headers=headers
    ) as response:
        assert response.content_type == "text/event-stream"
        assert texts(await take(tokens(response), chain, len(TOKENS))) == TOKENS


async def test_event_streams_are_never_compressed(chain: Chain) -> None:
    """Even where nginx compresses everything and the client would take it: it would wait for more bytes."""
    created = await post(chain)
    headers = {"Accept-Encoding": "gzip, deflate, br"}
    async with chain.client.get(created["events_url"], headers=headers) as response:
        assert "Content-Encoding" not in response.headers
        assert response.headers["Cache-Control"] == "no-store, no-transform"
        assert texts(await take(tokens(response), chain, 3)) == TOKENS[:3]


async def test_a_stop_through_nginx_stops_the_model(chain: Chain) -> None:
    """DELETE reaches the server, the model's connection is closed, and the event stream tells the end."""
    created = await post(chain)
    async with chain.client.get(created["events_url"]) as response:
        stream = events(response)
        chain.model.gate.release()
        async with asyncio.timeout(BOUND):
            while (await anext(stream)).name != "token":
                pass
        async with chain.client.delete(f"/api/streams/{created['stream_id']}") as stopped:
            assert stopped.status == 200
            answer = await stopped.json()
        assert (answer["outcome"], answer["upstream_closed"]) == ("stopped", True)
        async with asyncio.timeout(BOUND):
            await chain.model.closed.wait()
            assert [event.data["outcome"] async for event in stream if event.name == "end"] == ["stopped"]


async def test_a_reconnect_goes_on_where_it_was(chain: Chain) -> None:
    """With Last-Event-ID a viewer that lost its connection gets the rest: no gap, no repetition."""
    created = await post(chain)
    async with chain.client.get(created["events_url"]) as response:
        before = await take(tokens(response), chain, 10)
    for _ in TOKENS[10:]:
        chain.model.gate.release()
    headers = {"Last-Event-ID": before[-1].id}
    async with chain.client.get(created["events_url"], headers=headers) as response, asyncio.timeout(BOUND):
        after = [event async for event in tokens(response)]
    assert "".join(texts(before + after)) == "".join(TOKENS)
    assert after[0].data["position"] == 10
