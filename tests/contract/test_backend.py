"""The suite of the `Backend` port, run against every implementation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import psutil
import pytest
import pytest_asyncio

from app.chat.errors import UpstreamError
from app.chat.ports import Delta, Generation, Piece
from tests.contract.benches import BENCHES, Bench
from tests.support.waiting import until_told

pytestmark = pytest.mark.asyncio(loop_scope="module")
PARAMS = [pytest.param(name, marks=pytest.mark.slow) if name == "embedded" else name for name in BENCHES]
BOUND = 30.0  # s, for whatever has to happen soon: the real model may share its cores. An answer takes longer


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PARAMS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with BENCHES[request.param]() as bench:
        await read_all(bench.answer())  # a child process has started by now
        yield bench


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_is_left(bench: Bench) -> AsyncIterator[None]:
    """After each test: no generation open at the server, no task and no socket of ours."""
    before = asyncio.all_tasks()
    yield
    await until_told(lambda: nothing_open(bench), within=BOUND)
    await until_told(lambda: only_server_tasks(asyncio.all_tasks() - before), within=BOUND)
    assert client_sockets(bench) == 0


async def one_open(bench: Bench) -> bool:
    """Whether the model server counts a generation as running."""
    return await bench.open_upstream() == 1


async def nothing_open(bench: Bench) -> bool:
    return await bench.open_upstream() == 0


async def only_server_tasks(tasks: set[asyncio.Task[object]]) -> bool:
    """The doubles live in this loop too; their connection handlers are not ours."""
    names = [
        getattr(task.get_coro(), "__qualname__", "") for task in tasks if task is not asyncio.current_task()
    ]
    return not [name for name in names if not name.startswith("RequestHandler.")]


def client_sockets(bench: Bench) -> int:
    if bench.port is None:
        return 0
    connections = psutil.Process().net_connections("tcp")
    return sum(
        bool(link.raddr) and link.raddr.port == bench.port and link.status == psutil.CONN_ESTABLISHED
        for link in connections
    )


async def read_all(generation: Generation) -> list[Delta]:
    deltas: list[Delta] = []
    async with asyncio.timeout(BOUND):
        while more := await generation.read():
            deltas.extend(piece for piece in more if isinstance(piece, Delta))
            generation.listener = deltas.extend  # as the producer does it, after the first text
    return deltas


async def first_token(generation: Generation) -> Sequence[Piece]:
    async with asyncio.timeout(BOUND):
        return await generation.read()


async def closed(generation: Generation) -> None:
    async with asyncio.timeout(BOUND):
        await generation.wait_closed()


async def opened(bench: Bench, reading: asyncio.Task[Sequence[Piece]]) -> None:
    """Return once the server works on it and nothing has come yet."""

    async def works() -> bool:
        return await bench.open_upstream() == 1

    await until_told(works, within=BOUND)
    assert not reading.done()


async def test_models_are_named(bench: Bench) -> None:
    """Every backend lists models under its own name, with a context in tokens."""
    models = await bench.backend.models()
    assert models
    assert all(model.backend == bench.backend.name and model.name for model in models)
    assert all(model.context is not None and model.context > 0 for model in models)


async def test_answer_is_complete(bench: Bench) -> None:
    """An answer comes as tokens in order, and at its end `read` returns [] with reason and usage known."""
    generation = bench.answer()
    deltas = await read_all(generation)
    tokens = [text for delta in deltas for text in delta.texts]
    assert {delta.kind for delta in deltas} == {"token"}
    assert len(tokens) == 8
    assert all(tokens)
    assert generation.finish_reason in ("stop", "length")
    assert generation.usage is not None
    assert generation.usage.completion_tokens == 8
    assert generation.usage.prompt_tokens >= 0


async def test_end_is_stable(bench: Bench) -> None:
    """After its end `read` keeps returning [], the connection is closed, and `abort` changes nothing."""
    generation = bench.answer()
    await read_all(generation)
    await closed(generation)
    assert await generation.read() == []
    generation.abort()
    assert await generation.read() == []


async def test_same_prompt_same_tokens(bench: Bench) -> None:
    """Two generations do not disturb each other: both get the whole answer in the same order."""
    one, two = await asyncio.gather(read_all(bench.answer()), read_all(bench.answer()))
    assert flat(one) == flat(two)


async def test_abort_unopened(bench: Bench) -> None:
    """A generation that was never opened is closed at once, opens nothing, and refuses to be read."""
    generation = bench.steady()
    generation.abort()
    await closed(generation)
    with pytest.raises(UpstreamError):
        await generation.read()
    assert await bench.open_upstream() == 0


async def test_wait_closed_unopened(bench: Bench) -> None:
    """There is nothing to wait for where nothing was opened."""
    await closed(bench.steady())


async def test_abort_before_the_first_token(bench: Bench) -> None:
    """A stop while the model is silent closes the upstream and ends the waiting `read` with an error."""
    generation = bench.silent()
    reading = asyncio.create_task(generation.read())
    await opened(bench, reading)
    generation.abort()
    await closed(generation)
    with pytest.raises(UpstreamError):
        await asyncio.wait_for(reading, BOUND)
    await until_told(lambda: nothing_open(bench), within=BOUND)


async def test_abort_in_the_middle(bench: Bench) -> None:
    """A stop between two tokens frees the model; what is read after it is an error, not an end."""
    generation = bench.steady()
    await first_token(generation)
    await until_told(lambda: one_open(bench), within=BOUND)  # a busy model server may tell it late
    generation.abort()
    await closed(generation)
    await until_told(lambda: nothing_open(bench), within=BOUND)
    with pytest.raises(UpstreamError):
        await generation.read()
    assert generation.usage is None


async def test_abort_while_read_waits(bench: Bench) -> None:
    """A stop from another task ends the `read` that waits for the next token."""
    generation = bench.steady()
    await first_token(generation)

    async def read_on() -> None:
        while await generation.read():
            pass

    reading = asyncio.create_task(read_on())
    await asyncio.sleep(0)
    generation.abort()
    with pytest.raises(UpstreamError):
        await asyncio.wait_for(reading, BOUND)
    await closed(generation)


async def test_abort_twice(bench: Bench) -> None:
    """A second stop is no different from the first."""
    generation = bench.steady()
    await first_token(generation)
    generation.abort()
    generation.abort()
    await closed(generation)
    generation.abort()
    await until_told(lambda: nothing_open(bench), within=BOUND)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_abort_while_opening(bench: Bench, steps: int) -> None:
    """However far the opening has come when the stop arrives, nothing is left of it."""
    generation = bench.steady()
    reading = asyncio.create_task(generation.read())
    for _ in range(steps):
        await asyncio.sleep(0)
    generation.abort()
    await closed(generation)
    results = await asyncio.wait_for(asyncio.gather(reading, return_exceptions=True), BOUND)
    assert isinstance(results[0], UpstreamError | list)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_cancel_while_opening(bench: Bench, steps: int) -> None:
    """A cancelled `read` loses the generation and leaves nothing, however far the opening has come."""
    generation = bench.silent()
    reading = asyncio.create_task(generation.read())
    for _ in range(steps):
        await asyncio.sleep(0)
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(reading, BOUND)
    assert reading.cancelled()
    await closed(generation)


async def test_cancel_before_the_first_token(bench: Bench) -> None:
    """Cancelling the `read` of a silent model closes its upstream without any further call."""
    generation = bench.silent()
    reading = asyncio.create_task(generation.read())
    await opened(bench, reading)
    reading.cancel()
    await asyncio.wait({reading}, timeout=BOUND)
    assert reading.cancelled()
    await until_told(lambda: nothing_open(bench), within=BOUND)


async def test_cancelled_wait_closed(bench: Bench) -> None:
    """Giving up on `wait_closed` neither reopens nor breaks anything: it can be asked again."""
    generation = bench.steady()
    await first_token(generation)
    waiting = asyncio.create_task(generation.wait_closed())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=BOUND)
    generation.abort()
    await closed(generation)


async def test_many_stops(bench: Bench) -> None:
    """Of generations started and stopped at once, none stays open."""
    generations = [bench.steady() for _ in range(3)]
    readings = [asyncio.create_task(generation.read()) for generation in generations]
    await asyncio.wait(readings, return_when=asyncio.FIRST_COMPLETED, timeout=BOUND)
    for generation in generations:
        generation.abort()
    for generation in generations:
        await closed(generation)
    await asyncio.wait_for(asyncio.gather(*readings, return_exceptions=True), BOUND)


def flat(deltas: list[Delta]) -> list[str]:
    return [text for delta in deltas for text in delta.texts]
