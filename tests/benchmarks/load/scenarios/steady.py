"""Many answers at the pace of a model: the cost of a token, the time to the first, and what is added to each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.answer import all_began, all_ended, ask_all
from tests.benchmarks.load.client.meter import Meter
from tests.benchmarks.load.model import PER_SECOND
from tests.benchmarks.load.report.rows import MS, Row, percentile
from tests.benchmarks.load.scenarios.ending import ENDLESS, leave
from tests.benchmarks.load.servers.target import DIRECT, FASTAPI, MEMORY, NGINX, RELAY, TAILRACE, Target

RAMP = 0.6  # s, over which the streams begin
PROBE_GAP = 0.02  # s


class Paced(NamedTuple):
    """One round. Times in seconds."""

    cpu_per_token: float  # µs
    rate: float  # tokens per second of a stream
    firsts: list[float]  # first token of answers asked for at this load
    lags: list[float]  # from the model to the reader, of each read

    def __str__(self) -> str:
        return f"{self.cpu_per_token:.1f} µs a token, {self.rate:.1f} tokens/s a stream"


async def measure(bench: Bench) -> list[Row]:
    """Measure ours, its peers, and the direct way to the model."""

    async def one(target: Target) -> Paced:
        return await paced(bench, target)

    names = (DIRECT, TAILRACE, RELAY, MEMORY, NGINX, FASTAPI)
    rounds = await bench.alternate(names, one)
    costs = {name: [result.cpu_per_token for result in results] for name, results in rounds.items()}
    what = f"{bench.scale.streams} x {PER_SECOND}/s"
    in_memory = {**costs, TAILRACE: costs[MEMORY]}
    share = [on / off - 1 for on, off in zip(costs[TAILRACE], costs[MEMORY], strict=True)]
    return [
        Row(f"CPU µs per token, {what}", costs, 1.0, of_ratio=True),
        Row(f"CPU µs per token, {what}, history in memory", in_memory),
        Row("what SQLite adds to that, %", {TAILRACE: [part * 100 for part in share]}, 10.0),
        Row("first token over direct, p50, ms", _over(rounds, 50, firsts=True), 1.5, form="{:.2f}"),
        Row("first token over direct, p99, ms", _over(rounds, 99, firsts=True), 10.0, form="{:.2f}"),
        Row("added per token, p50, ms", _over(rounds, 50, firsts=False), 0.5, form="{:.2f}"),
        Row("added per token, p99, ms", _over(rounds, 99, firsts=False), 3.0, form="{:.2f}"),
    ]


def _over(rounds: dict[str, list[Paced]], percent: int, *, firsts: bool) -> dict[str, list[float]]:
    """Return the milliseconds over the direct way in each round, by server: of first tokens, or of all."""

    def late(result: Paced) -> float:
        times: Sequence[float] = result.firsts if firsts else result.lags
        return percentile(times, percent) * MS

    return {
        name: [late(one) - late(zero) for one, zero in zip(results, rounds[DIRECT], strict=False)]
        for name, results in rounds.items()
        if name != DIRECT
    }


async def paced(bench: Bench, target: Target) -> Paced:
    """Run the streams, measure a window, then ask for further answers at that load."""
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
    await leave(target, answers)
    return Paced(
        usage.cpu_per_token,
        usage.tokens / usage.seconds / len(answers),
        [probe.first for probe in probes if probe.first is not None],
        [lag for answer in answers for lag in answer.lags],
    )
