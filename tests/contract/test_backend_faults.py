"""What a backend makes of a model server that misbehaves: every fault of the doubles, for every HTTP backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.backends.errors.mapper import MAX_MESSAGE
from app.chat.errors import (
    ContextExceeded,
    ModelMissing,
    UpstreamError,
    UpstreamGarbled,
    UpstreamRejected,
    UpstreamTruncated,
    UpstreamUnauthorized,
    UpstreamUnreachable,
)
from app.chat.ports import Delta, Generation
from tests.contract.benches import DoubleBench, ollama, openai
from tests.doubles.faults import FAULTS
from tests.support.waiting import until

# fault, the error it becomes, how many tokens come before it, words of the sentence
EXPECTED: list[tuple[str, type[UpstreamError], int, str]] = [
    ("close-before-headers", UpstreamUnreachable, 0, "Is it running?"),
    ("garbage-before-headers", UpstreamGarbled, 0, "Check its URL."),
    ("reset", UpstreamTruncated, 3, "broke off before"),
    ("close", UpstreamTruncated, 3, "broke off before"),
    ("garbage", UpstreamGarbled, 3, "unreadable reply"),
    ("error", UpstreamRejected, 3, "the model ran out of memory"),
    ("missing-end", UpstreamTruncated, 3, "broke off before"),
    ("huge-line", UpstreamGarbled, 0, "more than 16,777,216 bytes"),
    ("missing-model", ModelMissing, 0, "model 'nope' not found"),
    ("wrong-path", UpstreamRejected, 0, "Check its URL."),
    ("unauthorised", UpstreamUnauthorized, 0, "Check the key"),
    ("bad-request", UpstreamRejected, 0, "bad [31mrequest xxx"),
    ("server-error", UpstreamRejected, 0, "the GPU caught fire"),
    ("context", ContextExceeded, 0, "exceeds the available context size"),
    ("context-in-band", ContextExceeded, 0, "maximum context length"),
]
HARMLESS = {"none": 8, "reasoning": 8, "drip": 4, "big-line": 2, "flood": 20_000}
SILENT = {"hang-before-headers": 0, "hang-before-first": 0, "hang-middle": 3, "drip-slowly": 0}
ENDLESS = {"steady", "deaf"}


@pytest.fixture(params=["ollama", "openai"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[DoubleBench]:
    """A double and its backend; afterwards nothing may be open between them."""
    async with {"ollama": ollama, "openai": openai}[request.param]() as bench:
        yield bench
        await bench.double.ledger.until(lambda ledger: ledger.open == 0)


async def read_on(generation: Generation, into: list[Delta]) -> None:
    generation.listener = into.extend
    while more := await generation.read():
        into.extend(piece for piece in more if isinstance(piece, Delta))


def texts(deltas: list[Delta], kind: str) -> list[str]:
    return [text for delta in deltas if delta.kind == kind for text in delta.texts]


def test_no_fault_is_forgotten() -> None:
    """Every fault of the table is driven by a test here."""
    assert {name for name, *_ in EXPECTED} | HARMLESS.keys() | SILENT.keys() | ENDLESS == FAULTS.keys()


@pytest.mark.parametrize(("fault", "error", "tokens", "words"), EXPECTED, ids=[row[0] for row in EXPECTED])
async def test_fault(
    bench: DoubleBench, fault: str, error: type[UpstreamError], tokens: int, words: str
) -> None:
    """A fault becomes its own error, after all tokens that came before it, with a sentence that helps."""
    generation = bench.fault(fault)
    deltas: list[Delta] = []
    with pytest.raises(UpstreamError) as caught:
        await asyncio.wait_for(read_on(generation, deltas), 10)
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert bench.double.api_key is None or bench.double.api_key not in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < MAX_MESSAGE + 100
    assert len(texts(deltas, "token")) == tokens
    assert generation.usage is None
    await asyncio.wait_for(generation.wait_closed(), 5)
    with pytest.raises(error):  # and so it stays
        await generation.read()


@pytest.mark.parametrize(("fault", "tokens"), HARMLESS.items())
async def test_harmless(bench: DoubleBench, fault: str, tokens: int) -> None:
    """Split bytes, lines of 10 MB and floods lose no token and no order."""
    generation = bench.fault(fault)
    deltas: list[Delta] = []
    await asyncio.wait_for(read_on(generation, deltas), 30)
    words = texts(deltas, "token")
    assert len(words) == tokens
    assert words[:8] == ["The", " river", " turns", " the", " wheel", " and", " flows", " on."][:tokens]
    assert generation.finish_reason == "stop"
    assert generation.usage is not None
    assert generation.usage.completion_tokens == tokens


async def test_reasoning(bench: DoubleBench) -> None:
    """Reasoning comes as deltas of its own kind, before the tokens."""
    deltas: list[Delta] = []
    await read_on(bench.fault("reasoning"), deltas)
    assert texts(deltas, "reasoning") == [" thought0", " thought1", " thought2"]
    kinds = [delta.kind for delta in deltas]
    assert kinds == sorted(kinds)  # "reasoning" before "token"


@pytest.mark.parametrize(("fault", "tokens"), SILENT.items())
@pytest.mark.parametrize("how", ["abort", "cancel"])
async def test_stop_of_a_silent_one(bench: DoubleBench, fault: str, tokens: int, how: str) -> None:
    """A model server that has fallen silent sees its connection closed, by `abort` and by a cancelled read."""
    generation = bench.fault(fault)
    deltas: list[Delta] = []
    reading = asyncio.create_task(read_on(generation, deltas))
    await bench.double.ledger.until(lambda ledger: ledger.open == 1)
    await until(lambda: len(texts(deltas, "token")) >= tokens)
    if how == "abort":
        generation.abort()
    else:
        reading.cancel()
    await asyncio.wait({reading}, timeout=5)
    assert reading.done()
    await bench.double.ledger.until(lambda ledger: ledger.aborted == 1)
    await asyncio.wait_for(generation.wait_closed(), 5)


@pytest.mark.slow
async def test_deaf_server(bench: DoubleBench) -> None:
    """A server that goes on after its client has left delays neither `read` nor `wait_closed`."""
    generation = bench.fault("deaf deaf=0.5")
    assert await generation.read()
    generation.abort()
    await asyncio.wait_for(generation.wait_closed(), 5)
    assert bench.double.ledger.open == 1
    with pytest.raises(UpstreamTruncated):
        await generation.read()


async def test_nobody_listens(bench: DoubleBench) -> None:
    """A refused connection is an error that asks whether the server runs, and it names its address."""
    url = bench.double.url
    await bench.double.stop()
    with pytest.raises(UpstreamUnreachable, match=rf"{url}.* isn't responding. Is it running\?"):
        await bench.answer().read()
    with pytest.raises(UpstreamUnreachable):
        await bench.backend.models()
    await bench.double.start()
    assert await bench.answer().read()


async def test_server_restarts_in_the_middle(bench: DoubleBench) -> None:
    """A server that goes away in the middle of an answer is a broken-off answer, and the next one works."""
    generation = bench.steady()
    assert await generation.read()
    await bench.double.stop()
    with pytest.raises(UpstreamTruncated):
        await asyncio.wait_for(read_on(generation, []), 10)
    await bench.double.start()
    assert await bench.answer().read()


async def test_aclose_ends_what_is_open(bench: DoubleBench) -> None:
    """Closing the backend ends a generation whose `read` waits, and no new one can be opened."""
    generation = bench.silent()
    reading = asyncio.create_task(generation.read())
    await bench.double.ledger.until(lambda ledger: ledger.open == 1)
    await bench.backend.aclose()
    with pytest.raises(UpstreamError):
        await asyncio.wait_for(reading, 5)
    with pytest.raises(UpstreamError):
        await bench.answer().read()


@pytest.mark.slow
async def test_hundreds_at_once(bench: DoubleBench) -> None:
    """No generation waits for somebody else's answer: 150 are open at the server at once."""
    generations = [bench.silent() for _ in range(150)]
    readings = [asyncio.create_task(generation.read()) for generation in generations]
    await bench.double.ledger.until(lambda ledger: ledger.open == 150, within=15)
    for generation in generations:
        generation.abort()
    await bench.double.ledger.until(lambda ledger: ledger.aborted == 150)
    await asyncio.wait(readings, timeout=5)
    assert all(isinstance(reading.exception(), UpstreamError) for reading in readings)
