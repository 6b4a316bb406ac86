"""nginx and Caddy with the shipped files in front of a real server: nothing is held back, all gets through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector

from tests.deploy.gated import MODEL, GatedModel
from tests.deploy.proxies import PROXIES, Site
from tests.deploy.running import tailrace
from tests.support.sse import Event, read_events

BOUND = 20.0  # seconds for any one step; a proxy that buffers holds headers or a token back for ever
TIMEOUT = ClientTimeout(total=None, sock_read=BOUND)
TOKENS = [f"t{number} " for number in range(25)]


class Chain(NamedTuple):
    """Client, proxy, Tailrace and model, as they are in production."""

    client: ClientSession  # speaks to the proxy
    model: GatedModel
    site: Site


@asynccontextmanager
async def chained(folder: Path, proxy: str, **options: Any) -> AsyncIterator[Chain]:
    """Start the chain from the model up; `options` are the proxy's."""
    for name in ("data", "proxy"):
        (folder / name).mkdir()
    async with AsyncExitStack() as stack, GatedModel(TOKENS).serving() as model:
        programs = stack.enter_context(ExitStack())
        server = tailrace(folder / "data", OPENAI_URL=model.url, DEFAULT_MODEL=MODEL)
        upstream = await asyncio.to_thread(programs.enter_context, server)
        in_front = PROXIES[proxy](folder / "proxy", upstream, **options)
        site = await asyncio.to_thread(programs.enter_context, in_front)
        connector = TCPConnector(ssl=site.context, limit=0)
        async with ClientSession(site.url, timeout=TIMEOUT, connector=connector) as client:
            yield Chain(client, model, site)
        await asyncio.to_thread(programs.close)


@pytest.fixture(params=sorted(PROXIES))
async def chain(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Chain]:
    """The chain with each of the proxies."""
    async with chained(tmp_path, request.param) as chain:
        yield chain


async def post(chain: Chain, prompt: str = "Count.") -> dict[str, Any]:
    """Send a prompt through the proxy and return the answer of the POST."""
    async with chain.client.post("/api/sessions/s1/streams", json={"prompt": prompt}) as response:
        assert response.status == 201, await response.text()
        created: dict[str, Any] = await response.json()
        return created


async def tokens(response: ClientResponse) -> AsyncIterator[Event]:
    """Read events up to the `end`, and pass the tokens on."""
    async for event in read_events(response):
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
    """The model makes its next token only once the last one has come through the proxy: none is buffered."""
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
    """Even where the proxy compresses everything and the client would take it: it would wait for more bytes."""
    created = await post(chain)
    headers = {"Accept-Encoding": "gzip, deflate, br"}
    async with chain.client.get(created["events_url"], headers=headers) as response:
        assert "Content-Encoding" not in response.headers
        assert response.headers["Cache-Control"] == "no-store, no-transform"
        assert texts(await take(tokens(response), chain, 3)) == TOKENS[:3]


async def test_a_stop_through_the_proxy_stops_the_model(chain: Chain) -> None:
    """DELETE reaches the server, the model's connection is closed, and the event stream tells the end."""
    created = await post(chain)
    async with chain.client.get(created["events_url"]) as response:
        stream = read_events(response)
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
    headers = {"Last-Event-ID": before[-1].id or ""}
    async with chain.client.get(created["events_url"], headers=headers) as response, asyncio.timeout(BOUND):
        after = [event async for event in tokens(response)]
    assert "".join(texts(before + after)) == "".join(TOKENS)
    assert after[0].data["position"] == 10


async def follow(chain: Chain, url: str) -> AsyncIterator[Event]:
    """Read the tokens up to the end as EventSource does: connect again after each loss, from the last event on."""
    last = ""
    while True:
        try:
            async with chain.client.get(url, headers={"Last-Event-ID": last} if last else {}) as response:
                async for event in read_events(response):
                    last = event.id or last
                    if event.name == "token":
                        yield event
                    elif event.name == "end":
                        return
        except (ClientError, ConnectionError):
            continue


@pytest.mark.parametrize("patience", [1, 60], ids=["cut", "kept"])
@pytest.mark.parametrize("proxy", sorted(PROXIES))
async def test_a_reload_of_the_proxy_loses_nothing(proxy: str, patience: int, tmp_path: Path) -> None:
    """Whether the old worker keeps its streams or cuts them: no gap, no repetition, and new prompts get through."""
    async with chained(tmp_path, proxy, patience=patience) as chain:
        created = await post(chain)
        stream = follow(chain, created["events_url"])
        before = await take(stream, chain, 5)
        await asyncio.to_thread(chain.site.reload)
        async with chain.client.post("/api/sessions/s2/streams", json={"prompt": "Another."}) as other:
            assert other.status == 201
            stream_id = (await other.json())["stream_id"]
        async with chain.client.delete(f"/api/streams/{stream_id}") as stopped:
            assert stopped.status == 200
        after = await take(stream, chain, len(TOKENS) - 5)
        assert texts(before + after) == TOKENS
