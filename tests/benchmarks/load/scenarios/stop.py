"""Stop: how long until the model's connection is closed."""

from __future__ import annotations

import asyncio
import time

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.answer import PATIENCE, Answer, all_began, ask_all
from tests.benchmarks.load.client.visitor import Visitor
from tests.benchmarks.load.report.rows import MS, Row, at, percentile
from tests.benchmarks.load.scenarios.ending import ENDLESS
from tests.benchmarks.load.servers.target import RELAY, TAILRACE, Target


async def measure(bench: Bench) -> list[Row]:
    """Measure ours, and the relay, where a reader can only hang up."""

    async def one(target: Target) -> list[float]:
        return await stops(bench, target)

    def tell(waits: list[float]) -> str:
        return f"{percentile(waits, 50) * MS:.2f} ms"

    rounds = await bench.alternate((TAILRACE, RELAY), one, tell)
    what = f"{bench.scale.stops} running, ms"
    return [
        Row(f"stop to upstream closed, p{percent}, {what}", at(percent, rounds), goal, form="{:.2f}")
        for percent, goal in ((50, 1.0), (99, 5.0))
    ]


async def stops(bench: Bench, target: Target) -> list[float]:
    """Stop running streams one by one; return the seconds from each request to the closed upstream."""
    orders = list(bench.orders(bench.scale.stops, "paced", ENDLESS))
    answers = await ask_all(target, orders)
    await all_began(answers)
    keys = [order.key for order in orders]
    if target.is_ours:
        return await _stop(bench, target, answers, keys)
    waits = []
    for answer, key in zip(answers, keys, strict=True):
        asked = time.perf_counter()
        answer.hang_up()
        waits.append(await _closed(bench, key) - asked)
    return waits


async def _stop(bench: Bench, target: Target, answers: list[Answer], keys: list[int]) -> list[float]:
    visitor = await Visitor.come(target)
    waits = []
    for answer, key in zip(answers, keys, strict=True):
        asked = time.perf_counter()
        delete = target.raw("DELETE", f"/api/streams/{answer.stream_id}", accept="application/json")
        reply = await visitor.ask(delete)
        assert reply.status == 200, reply
        waits.append(await _closed(bench, key) - asked)
    visitor.leave()
    return waits


async def _closed(bench: Bench, key: int) -> float:
    """Return when the model saw its connection closed."""
    async with asyncio.timeout(PATIENCE):
        return await asyncio.shield(bench.model.generations[key].closed)
