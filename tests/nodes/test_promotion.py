"""Nodes on sentinels: the primary is killed, and a replica that is behind takes its place, while an answer runs."""

from __future__ import annotations

import asyncio

import pytest

from app.wiring.errors import StartupError
from tests.nodes.conftest import LiveNodes
from tests.support.ports import free_port
from tests.support.sentinel import NAME, running_watched
from tests.support.sse import text_of
from tests.support.waiting import until, until_told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
LONG = 60.0  # s, for a failover on a busy machine


async def test_an_answer_goes_on_over_a_promotion(nodes: LiveNodes) -> None:
    """A viewer at another node sees each token once, in order; the next prompt is answered, and hints arrive again."""
    with running_watched() as (primary, replica, sentinel):
        a, b = [await nodes.start(redis_url=sentinel.url, node_ttl=LONG, viewer_grace=None) for _ in range(2)]
        await a.ownership.own("s")
        answer = await a.client.register("s", prompt="hello", model="scripted/long")
        log = a.registry.session("s").log
        watching = asyncio.create_task(b.client.read_stream(str(answer["stream_id"])))
        await until(lambda: log.answer is not None and log.answer.tokens > 5, within=LONG)
        replica.kill()
        begun = log.head
        await until(lambda: log.head > begun + 20, within=LONG)
        shown = log.head
        primary.kill()
        await asyncio.to_thread(replica.start)
        await until(lambda: a.cluster.trouble(), within=LONG)
        ready = await a.client.get("/readyz")
        assert ready["http"] == 503
        assert "Redis does not respond" in ready["detail"]
        await until(lambda: not a.cluster.trouble() and not b.cluster.trouble(), within=LONG)
        assert await asyncio.to_thread(replica.role) == "master"
        await until(lambda: log.head > shown + 20, within=LONG)
        newest = await b.client.ask("s", "again", model="scripted/short")
        assert newest[-1].data["outcome"] == "complete"
        events = await asyncio.wait_for(watching, LONG)
        seqs = [event.seq for event in events]
        assert seqs == sorted(set(seqs))
        assert [event.name for event in events].count("reset") == 0
        messages = await a.history.messages("local", "s")
        assert text_of(events) == messages[1].content
        heard: list[str] = []
        a.cluster.hints.listen("test", heard.append)

        async def arrived() -> bool:
            b.cluster.hints.send("test", "news")
            return bool(heard)

        await until_told(arrived, within=LONG)


async def test_a_wrong_name_is_said_at_the_start(nodes: LiveNodes) -> None:
    """With the setting, and what to do."""
    with running_watched() as (_, _, sentinel):
        url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}/other"
        with pytest.raises(StartupError, match=r"TAILRACE_REDIS_URL: .*no primary named 'other'") as refused:
            await nodes.start(redis_url=url)
    assert NAME not in str(refused.value)
    with pytest.raises(StartupError, match=r"TAILRACE_REDIS_URL: the name .* for the primary is missing"):
        await nodes.start(redis_url=f"redis+sentinel://127.0.0.1:{sentinel.port}")
