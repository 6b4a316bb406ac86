"""Streams whose model has not said anything yet, each with its viewer."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.answer import PATIENCE, ask_all, hang_up
from tests.benchmarks.load.client.meter import Meter
from tests.benchmarks.load.report.rows import MS, Row
from tests.benchmarks.load.scenarios.fresh import KIB, each_fresh
from tests.benchmarks.load.servers.target import RELAY, TAILRACE, Target


class Waiting(NamedTuple):
    """One round."""

    memory: float  # KiB each
    cpu: float  # ms per second, of all together

    def __str__(self) -> str:
        return f"{self.memory:.1f} KiB each, {self.cpu:.1f} ms/s"


async def measure(bench: Bench) -> list[Row]:
    """Measure memory and the cost of doing nothing."""

    async def one(target: Target) -> Waiting:
        return await waiting(bench, target)

    rounds = await each_fresh(bench, (TAILRACE, RELAY), one, str)
    what = f"{bench.scale.waiting} waiting streams"
    memory = {name: [result.memory for result in results] for name, results in rounds.items()}
    cpu = {name: [result.cpu for result in results] for name, results in rounds.items()}
    return [
        Row(f"memory per stream, {what}, KiB", memory, 35.0),
        Row(f"CPU ms per second, {what}", cpu, 2.0),
    ]


async def waiting(bench: Bench, target: Target) -> Waiting:
    """Open streams that only wait, each with its viewer. Wants a fresh server."""
    await bench.warm(target)
    before = target.memory()
    orders = list(bench.orders(bench.scale.waiting, "silent", 1))
    answers = await ask_all(target, orders)
    async with asyncio.timeout(PATIENCE):
        while not all(order.key in bench.model.generations for order in orders):
            await asyncio.sleep(0.02)
    memory = target.memory() - before
    await asyncio.sleep(bench.scale.idle_window / 3)  # what the opening left behind
    meter = Meter(target)
    await asyncio.sleep(bench.scale.idle_window)
    usage = meter.read()
    hang_up(answers)
    return Waiting(memory / len(answers) / KIB, usage.cpu / usage.seconds * MS)
