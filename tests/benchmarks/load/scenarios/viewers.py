"""One answer that many people read."""

from __future__ import annotations

import asyncio

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.answer import Answer, all_began, ask_all, hang_up
from tests.benchmarks.load.client.meter import Meter
from tests.benchmarks.load.report.rows import Row
from tests.benchmarks.load.scenarios.ending import ENDLESS, leave
from tests.benchmarks.load.servers.target import TAILRACE, Target


async def measure(bench: Bench) -> list[Row]:
    """Measure ours: the peers have no second viewer."""

    async def one(target: Target) -> float:
        return await fan(bench, target)

    costs = await bench.alternate((TAILRACE,), one, "{:.1f} µs a delivered token".format)
    return [Row(f"CPU µs per token delivered, 1 stream, {bench.scale.viewers} viewers", costs, 8.0)]


async def fan(bench: Bench, target: Target) -> float:
    """Show one paced stream to many viewers; return the microseconds of a delivered token."""
    scale = bench.scale
    answers = await ask_all(target, bench.orders(1, "paced", ENDLESS))
    await all_began(answers)
    view = target.raw("GET", f"/api/streams/{answers[0].stream_id}/events")
    answers += [await Answer.ask(target, view) for _ in range(scale.viewers - 1)]
    await all_began(answers)
    meter = Meter(target, answers)
    await asyncio.sleep(scale.window)
    usage = meter.read()
    await leave(target, answers[:1])
    hang_up(answers)
    return usage.cpu_per_token
