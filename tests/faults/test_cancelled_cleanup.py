"""Cancellation in the middle of a clean-up: at whichever await it comes, the upstream is closed all the same."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from app.backends.embedded.backend import MODEL, EmbeddedBackend
from app.backends.ollama.backend import OllamaBackend
from app.chat.ports import ChatMessage, Options, Request
from app.chat.states import Reason
from app.config.settings import Settings
from app.wiring.server import running
from tests.doubles.ollama import OllamaDouble
from tests.faults.footprint import Footprint, back_to
from tests.faults.watch import check
from tests.support.client import Client
from tests.support.server import LiveServer, serve
from tests.support.sessions import none_left_open
from tests.support.waiting import until

STEPS = 12  # rounds of the loop: more than any clean-up here takes
MODEL_ID = "ollama/double"


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[tuple[LiveServer, OllamaDouble]]:
    """A server in front of a double; afterwards nothing is left of either."""
    before = Footprint.now()
    async with OllamaDouble() as double:
        async with serve(folder, ollama_url=double.url, **settings) as live:
            yield live, double
        assert double.ledger.open == 0
    await back_to(before)


async def rounds(number: int) -> None:
    """Let the loop go round so many times."""
    for _ in range(number):
        await asyncio.sleep(0)


async def open_in(double: OllamaDouble, session_id: str, count: int) -> None:
    """Wait until the model server has so many generations of a session open."""
    await double.ledger.until(lambda ledger: ledger.open_in(session_id) == count)


def named(name: str) -> asyncio.Task[Any] | None:
    """Find a running task."""
    return next((task for task in asyncio.all_tasks() if task.get_name() == name), None)


async def cut(work: Coroutine[Any, Any, Any], after: int) -> bool:
    """Begin `work`, cancel it after so many rounds of the loop; tell whether it was still at it."""
    task = asyncio.create_task(work)
    await rounds(after)
    cut_short = task.cancel()
    await asyncio.wait({task}, timeout=20)
    assert task.done()
    return cut_short and task.cancelled()


@pytest.mark.parametrize("victims", [("producer",), ("conductor",), ("producer", "conductor")], ids="+".join)
async def test_a_stream_whose_tasks_are_cancelled_while_they_clean_up(
    tmp_path: Path, victims: tuple[str, ...]
) -> None:
    """The upstream closes, the log gets its one end, and the next prompt answers: for a cancellation at any await."""
    hits: list[int] = []
    async with served(tmp_path) as (live, double):
        for step in range(STEPS):
            session_id = f"s{step}"
            prompt = f"session={session_id} fault=steady"
            stream_id = (await live.client.post(session_id, prompt, model=MODEL_ID))["stream_id"]
            await open_in(double, session_id, 1)
            (stream,) = live.registry.session(session_id)
            stream.signal(Reason.USER_STOP)
            await rounds(step)
            found = [named(f"{name} {stream_id if name == 'producer' else session_id}") for name in victims]
            hits += [step for task in found if task is not None and task.cancel()]
            await open_in(double, session_id, 0)
            async with asyncio.timeout(10):
                events = await live.client.read_stream(stream_id)
            check(events)
            assert events[-1].data["outcome"] == "stopped"
            newest = await live.client.ask(session_id, f"session={session_id}", model=MODEL_ID)
            assert newest[-1].data["outcome"] == "complete"
        assert double.ledger.overlaps == []
    assert 0 in hits, "the clean-up was not met"
    assert STEPS - 1 not in hits, "the clean-up takes longer: more steps are needed"


async def test_a_backend_that_is_cancelled_while_it_closes() -> None:
    """Every open generation is closed, at whichever await the cancellation comes."""
    hits = 0
    before = Footprint.now()
    async with OllamaDouble() as double:
        for step in range(1, STEPS):  # with none, the closing would not even begin
            backend = OllamaBackend(double.url)
            generation = backend.generate(Request("double", [ChatMessage("user", "fault=steady")]))
            assert await generation.read()
            hits += await cut(backend.aclose(), step)
            await double.ledger.until(lambda ledger: ledger.open == 0)
            await backend.aclose()
    assert hits
    await back_to(before)


async def test_a_server_that_is_cancelled_while_it_closes(tmp_path: Path) -> None:
    """Streams, connections and backends end, at whichever await the cancellation comes."""
    hits = 0
    for step in range(1, 4 * STEPS):
        before = Footprint.now()
        with none_left_open():
            hits += await shut_down_cut_short(tmp_path, step)
        await back_to(before)
    assert hits


async def shut_down_cut_short(folder: Path, step: int) -> bool:
    """Cancel the end of a server in the given round of the loop; tell whether it was still at it."""
    async with OllamaDouble() as double:
        settings = Settings(
            port=0, embedded=False, ollama_url=double.url, data_dir=folder, default_model=MODEL_ID
        )
        serving = running(settings)
        server = await serving.__aenter__()
        async with Client(server.url) as client:
            await client.post("s1", "fault=steady")
            await double.ledger.until(lambda ledger: ledger.open == 1)
        hit = await cut(serving.__aexit__(None, None, None), step)
        await double.ledger.until(lambda ledger: ledger.open == 0)
        with pytest.raises(aiohttp.ClientConnectorError):
            async with Client(server.url) as client:
                await client.get("/healthz")
    return hit


async def test_a_delete_whose_client_leaves_while_it_waits(
    tmp_path: Path, handler_cancellation: bool
) -> None:
    """The stop goes on without anybody to tell about it."""
    async with served(tmp_path, handler_cancellation=handler_cancellation, supersede_timeout=0.5) as (
        live,
        _,
    ):
        stream_id = (await live.client.post("s1", "x", model="scripted/stubborn"))["stream_id"]
        await until(lambda: live.scripted.ledger.open == 1)
        with pytest.raises(TimeoutError):
            async with live.client.http.delete(
                f"/api/streams/{stream_id}?wait=5", timeout=aiohttp.ClientTimeout(total=0.05)
            ):
                pass
        await until(lambda: live.registry.statistics().active == 0)
        state = await live.client.get(f"/api/streams/{stream_id}")
        assert (state["outcome"], state["upstream_closed"]) == ("stopped", False)


@asynccontextmanager
async def stopped_child() -> AsyncIterator[tuple[EmbeddedBackend, Path]]:
    """An embedded model whose child is stopped, so that it does not end when it is asked to; and the child's folder."""
    backend = EmbeddedBackend(logger=structlog.get_logger())
    try:
        generation = backend.generate(Request(MODEL, [ChatMessage("user", "Hello")], Options(max_tokens=1)))
        while await generation.read():
            pass
        assert backend.pid is not None
        os.kill(backend.pid, signal.SIGSTOP)
        yield backend, Path(f"/proc/{backend.pid}")
    finally:
        await backend.aclose()


async def test_an_embedded_model_that_does_not_end_is_killed() -> None:
    """Closing the backend takes its bound, and then the child is gone."""
    async with stopped_child() as (backend, child):
        await backend.aclose()
        assert not child.exists()


async def test_an_embedded_model_that_is_cancelled_while_it_ends() -> None:
    """A child that does not end is killed all the same."""
    async with stopped_child() as (backend, child):
        assert await cut(backend.aclose(), STEPS)
        await until(lambda: not child.exists())
