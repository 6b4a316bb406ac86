"""What a token costs: at the pace of a model, as fast as it goes, and shown to many viewers."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from tests.benchmarks.load.load import Answer, Meter, all_began, all_ended, ask_all, hang_up
from tests.benchmarks.load.model import PER_SECOND
from tests.benchmarks.load.scale import Bench
from tests.benchmarks.load.servers import Target

RAMP = 0.6  # s, over which the paced streams begin
PROBE_GAP = 0.02  # s
SETTLE = 0.02  # s; the kernel books the time of a running process at its next tick, or when it sleeps
ENDLESS = 1_000_000  # tokens: the load hangs up


class Paced(NamedTuple):
    """One round of paced streams. Times in seconds."""

    cpu_per_token: float  # µs
    rate: float  # tokens per second of a stream
    firsts: list[float]  # first token of answers asked for at this load
    lags: list[float]  # from the model to the reader, of each read


def first_tokens(round_: Paced) -> list[float]:
    """Return the times to the first token."""
    return round_.firsts


def lags(round_: Paced) -> list[float]:
    """Return the times from the model to the reader."""
    return round_.lags


async def paced(bench: Bench, target: Target) -> Paced:
    """Run the paced streams, measure a window, then ask for further answers at that load."""
    scale = bench.scale
    orders = list(bench.orders(scale.streams, "paced", ENDLESS))
    answers = await ask_all(target, orders, spread=RAMP)
    await all_began(answers)
    for order, answer in zip(orders, answers, strict=True):
        answer.measure_lags(bench.model.generations[order.key].sent)
    meter = Meter(target, answers)
    await asyncio.sleep(scale.window)
    usage = meter.read()
    for answer in answers:
        answer.measure_lags(None)
    probes = await ask_all(target, bench.orders(scale.probes, "paced", 3), spread=PROBE_GAP * scale.probes)
    await all_ended(probes)
    await _leave(target, answers)
    return Paced(
        usage.cpu_per_token,
        usage.tokens / usage.seconds / len(answers),
        [probe.first for probe in probes if probe.first is not None],
        [lag for answer in answers for lag in answer.lags],
    )


class Flat(NamedTuple):
    """One round as fast as it goes."""

    cpu_per_token: float  # µs
    missing: int  # tokens that should have come


async def flat(bench: Bench, target: Target) -> Flat:
    """Have each stream's tokens written without a pace, and read them all."""
    scale = bench.scale
    answers: list[Answer] = []
    meter = Meter(target, answers)
    answers += await ask_all(target, bench.orders(scale.flat_streams, "flat", scale.flat_tokens))
    await all_ended(answers)
    await asyncio.sleep(SETTLE)
    usage = meter.read()
    return Flat(usage.cpu_per_token, scale.flat_streams * scale.flat_tokens - usage.tokens)


class Fan(NamedTuple):
    """One round of one stream with many viewers."""

    cpu_per_token: float  # µs per token delivered
    rate: float  # tokens per second of each viewer


async def fan(bench: Bench, target: Target) -> Fan:
    """Show one paced stream to many viewers."""
    scale = bench.scale
    answers = await ask_all(target, bench.orders(1, "paced", ENDLESS))
    await all_began(answers)
    view = target.raw("GET", f"/api/streams/{answers[0].stream_id}/events")
    answers += [await Answer.ask(target, view) for _ in range(scale.viewers - 1)]
    await all_began(answers)
    meter = Meter(target, answers)
    await asyncio.sleep(scale.window)
    usage = meter.read()
    await _leave(target, answers[:1])
    hang_up(answers)
    return Fan(usage.cpu_per_token, usage.tokens / usage.seconds / len(answers))


async def _leave(target: Target, answers: list[Answer]) -> None:
    """End endless answers. This server's have to be stopped: it goes on without viewers."""
    if target.name == "tailrace":
        deletes = [target.raw("DELETE", f"/api/streams/{answer.stream_id}") for answer in answers]
        stops = [await Answer.ask(target, delete) for delete in deletes]
        await all_ended(answers)
        hang_up(stops)
    hang_up(answers)
    await asyncio.sleep(1 / PER_SECOND)  # the sockets close before the next round begins
