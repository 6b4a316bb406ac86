"""What a token costs when more answers run."""

from __future__ import annotations

import asyncio

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.answer import all_began, ask_all
from tests.benchmarks.load.client.meter import Meter
from tests.benchmarks.load.model import SLOW_PER_SECOND
from tests.benchmarks.load.report.rows import Row
from tests.benchmarks.load.scenarios.ending import ENDLESS, leave
from tests.benchmarks.load.servers.target import FASTAPI, NGINX, RELAY, TAILRACE, Target

PER_STREAM = 0.001  # s, over which they begin


async def measure(bench: Bench) -> list[Row]:
    """Measure each number of streams, and compare the most with the fewest."""
    rows: list[Row] = []
    for streams in bench.scale.growth:

        async def one(target: Target, streams: int = streams) -> float:
            return await cost(bench, target, streams)

        tell = f"{{:.1f}} µs a token, {streams} streams".format
        costs = await bench.alternate((TAILRACE, RELAY, NGINX, FASTAPI), one, tell)
        figure = f"CPU µs per token, {streams} x {SLOW_PER_SECOND}/s"
        rows.append(Row(figure, costs, plotted=streams))
    fewest, most = rows[0], rows[-1]
    growth = {
        name: [high / low for high, low in zip(most.values[name], fewest.values[name], strict=False)]
        for name in most.values
    }
    what = f"growth of that from {bench.scale.growth[0]} to {bench.scale.growth[-1]} streams, x"
    return [*rows, Row(what, growth, 1.3, form="{:.2f}")]


async def cost(bench: Bench, target: Target, streams: int) -> float:
    """Run slow streams; return the microseconds of processor time per token."""
    orders = bench.orders(streams, "slow", ENDLESS)
    answers = await ask_all(target, orders, spread=PER_STREAM * streams)
    await all_began(answers)
    await asyncio.sleep(1 / SLOW_PER_SECOND)
    meter = Meter(target, answers)
    await asyncio.sleep(bench.scale.window)
    usage = meter.read()
    await leave(target, answers)
    return usage.cpu_per_token
