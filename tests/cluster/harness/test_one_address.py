"""The shipped nginx site of a cluster in front of three real nodes: one address, whatever a node does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster.harness.model import counted
from tests.cluster.harness.running import RunningCluster
from tests.cluster.nodes import follow
from tests.deploy.proxies import cluster_nginx
from tests.support.client import Client
from tests.support.sse import text_of
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.timeout(400)]
BOUND = 60.0  # s for any one step


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(cluster: RunningCluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A client of the one address."""
    folder: Path = tmp_path_factory.mktemp("nginx")
    with ExitStack() as stack:
        proxy = cluster_nginx(folder, [node.port for node in cluster.nodes])
        url = await asyncio.to_thread(stack.enter_context, proxy)
        async with Client(url) as client:
            yield client
        await asyncio.to_thread(stack.close)


async def test_tokens_come_one_by_one(site: Client) -> None:
    """Whichever node it goes to, nothing is held back: the first token is here while the model still writes."""
    created = await site.post("steady", "session=steady tokens=100000 pace=0.05")
    async with asyncio.timeout(BOUND), site.events(created["events_url"]) as events:
        async for event in events:
            if event.name == "token":
                break
    stopped = await site.stop(created["stream_id"])
    assert (stopped["outcome"], stopped["upstream_closed"]) == ("stopped", True)


async def test_pages_come_while_prompts_are_refused(site: Client, cluster: RunningCluster) -> None:
    """Without Redis each node refuses prompts, with its own sentence. That is no reason to leave the nodes alone."""
    cluster.valkey.kill()
    try:
        prompts = [site.post(f"refused-{number}", "session=refused tokens=1") for number in range(9)]
        async with asyncio.timeout(BOUND):
            answers = await asyncio.gather(*prompts)
        assert {(each["http"], each["code"]) for each in answers} == {(503, "history_unavailable")}
        for _ in cluster.nodes:
            async with site.http.get("/") as response:
                assert response.status == 200
    finally:
        cluster.valkey.start()
        await asyncio.gather(*(node.ready() for node in cluster.nodes))


async def test_prompts_go_on_while_a_node_is_dead(site: Client, cluster: RunningCluster) -> None:
    """Also in the chats that it owned: the address refuses none, and each is answered once."""
    sessions = [f"chat-{number}" for number in range(6)]
    for session in sessions:
        assert counted(text_of(await site.ask(session, f"session={session} tokens=3"))) == 3
    owners = await cluster.owners()
    dead = cluster[owners[sessions[0]]]
    await dead.kill()
    try:
        for session in sessions:
            async with asyncio.timeout(BOUND):
                created = await site.post(session, f"session={session} tokens=4")
                assert created["http"] == 201, created
                events = await site.read_stream(created["stream_id"])
            assert counted(text_of(events)) == 4
            messages = (await site.get(f"/api/sessions/{session}"))["messages"]
            assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    finally:
        await dead.start()


async def test_a_rolling_restart_refuses_nobody(site: Client, cluster: RunningCluster) -> None:
    """While the nodes leave and come back one by one, each prompt is taken, and its reader sees all of it once."""
    restarted = asyncio.Event()
    complete: list[str] = []

    async def chat(session: str) -> list[str]:
        texts = []
        while not restarted.is_set():
            created = await site.post(session, f"session={session} tokens=20 pace=0.05")
            assert created["http"] in (200, 201), created  # 200: nginx had to send it again
            events = await follow(site, created["events_url"], lambda event: event.name == "end")
            texts.append(text_of(events))
            assert counted(texts[-1]) is not None, texts[-1]
            if events[-1].data["outcome"] == "complete":
                assert counted(texts[-1]) == 20
                complete.append(session)
        return texts

    async def answered(more: int) -> None:
        wanted = len(complete) + more
        await until(lambda: len(complete) >= wanted or any(task.done() for task in chats), within=BOUND)

    sessions = [f"rolling-{number}" for number in range(6)]
    chats = [asyncio.create_task(chat(session)) for session in sessions]
    try:
        for node in cluster.nodes:
            node.leave()
            await node.ended()
            await node.start()
            await answered(2 * len(sessions))
        restarted.set()
        async with asyncio.timeout(BOUND):
            texts = await asyncio.gather(*chats)
    finally:
        for task in chats:
            task.cancel()
        await asyncio.gather(*chats, return_exceptions=True)
    for session, seen in zip(sessions, texts, strict=True):
        messages = (await site.get(f"/api/sessions/{session}"))["messages"]
        assert [message["content"] for message in messages if message["role"] == "assistant"] == seen
