"""The end of the process: SIGTERM, a second SIGTERM, and kill -9."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from tests.functional.processes import END, Process, serving
from tests.support.client import Client
from tests.support.sse import Event, text_of
from tests.support.waiting import until
from tests.web.stage import until_event


async def end_of(server: Process) -> int:
    """Wait for the end of the process without holding up the readers of its events; return the exit code."""
    return await asyncio.to_thread(server.ended)


async def rest(events: AsyncIterator[Event]) -> list[Event]:
    """The events that are still to come."""
    return [event async for event in events]


async def test_sigterm_while_a_stream_runs(tmp_path: Path) -> None:
    """Exit code 0, no traceback; its viewer gets the `end`, `interrupted`, behind all the text that came."""
    with serving(tmp_path, DRAIN_TIMEOUT="0.3") as server:
        async with Client(server.url) as client:
            registered = await client.post("s1", "hello", model="scripted/long")
            async with client.events(registered["events_url"]) as events:
                seen = await until_event(events, "token")
                server.signal(signal.SIGTERM)
                seen += await rest(events)
            assert (seen[-1].name, seen[-1].data["outcome"]) == ("end", "interrupted")
            assert seen[-1].data["upstream_closed"] is True
            assert text_of(seen)
        assert await end_of(server) == 0
        assert "Traceback" not in server.log
        assert f"stream_cancelled trace={registered['stream_id']} session=s1 reason=shutdown" in server.log
        assert server.log.count("stream_start") == server.log.count("stream_end") == 1


async def test_an_answer_may_finish_before_the_end(tmp_path: Path) -> None:
    """Within the drain timeout it becomes complete, new prompts are turned down, then the process ends."""
    with serving(tmp_path, DRAIN_TIMEOUT="20") as server:
        async with Client(server.url) as client:
            registered = await client.post("s1", "word " * 60, model="scripted/echo")
            async with client.events(registered["events_url"]) as events:
                seen = await until_event(events, "token")
                server.signal(signal.SIGTERM)
                await until(lambda: "Finishing answers" in server.log)
                refused = await client.post("s2", "hello", model="scripted/short")
                assert (refused["http"], refused["code"]) == (503, "draining")
                seen += await rest(events)
            assert seen[-1].data["outcome"] == "complete"
        assert await end_of(server) == 0
        assert "Traceback" not in server.log


async def test_a_second_sigterm_ends_the_wait(tmp_path: Path) -> None:
    """The operator is in a hurry: running answers end `interrupted` at once, still properly, with exit code 0."""
    with serving(tmp_path, DRAIN_TIMEOUT="600") as server:
        async with Client(server.url) as client:
            registered = await client.post("s1", "hello", model="scripted/hang")
            async with client.events(registered["events_url"]) as events:
                await until_event(events, "status")
                server.signal(signal.SIGTERM)
                await until(lambda: "Finishing answers" in server.log)
                assert server.exit_code is None
                server.signal(signal.SIGTERM)
                (end,) = await rest(events)
            assert (end.name, end.data["outcome"]) == ("end", "interrupted")
        assert await end_of(server) == 0
        assert "Traceback" not in server.log


async def test_sigterm_does_not_wait_for_idle_pages(tmp_path: Path) -> None:
    """A page that only listens gets the end of its response, and holds up nothing."""
    with serving(tmp_path, DRAIN_TIMEOUT="600") as server:
        async with Client(server.url) as client:
            await client.ask("s1", "hello", model="scripted/short")
            async with client.events("/api/sessions/s1/events") as events:
                server.signal(signal.SIGTERM)
                assert await rest(events) == []
        assert await end_of(server) == 0
        assert "Traceback" not in server.log


async def test_kill_leaves_no_model_behind(tmp_path: Path) -> None:
    """The embedded model's process ends with the server, also when that cannot tell it to."""
    with serving(tmp_path, EMBEDDED="1", SCRIPTED="0") as server:
        async with Client(server.url) as client:
            registered = await client.post("s1", "Tell me a long story.", options={"max_tokens": 2000})
            async with client.events(registered["events_url"]) as events:
                await until_event(events, "token")
                children = psutil.Process(server.pid).children(recursive=True)
                assert children
                server.signal(signal.SIGKILL)
        assert await end_of(server) == -signal.SIGKILL
        await until(lambda: not [child for child in children if _runs(child)], within=END)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_sigterm_ends_the_model_too(tmp_path: Path) -> None:
    """While it generates: exit code 0, no traceback, no process left."""
    with serving(tmp_path, EMBEDDED="1", SCRIPTED="0", DRAIN_TIMEOUT="0.2") as server:
        async with Client(server.url) as client:
            registered = await client.post("s1", "Tell me a long story.", options={"max_tokens": 2000})
            async with client.events(registered["events_url"]) as events:
                await until_event(events, "token")
                children = psutil.Process(server.pid).children(recursive=True)
                server.signal(signal.SIGTERM)
                end = (await rest(events))[-1]
            assert end.data["outcome"] == "interrupted"
        assert await end_of(server) == 0
        assert "Traceback" not in server.log
        # On a starved machine the server ends at its bound, and the child when it notices that.
        await until(lambda: not [child for child in children if _runs(child)], within=END)
