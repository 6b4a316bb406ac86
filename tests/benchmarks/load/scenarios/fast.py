"""Answers as fast as the model can write them."""

from __future__ import annotations

from typing import NamedTuple

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.answer import Answer, all_ended, ask_all
from tests.benchmarks.load.client.meter import Meter
from tests.benchmarks.load.report.rows import Row
from tests.benchmarks.load.servers.target import BY_LINE, FASTAPI, NGINX, RELAY, TAILRACE, Target


class Flat(NamedTuple):
    """One round."""

    cpu_per_token: float  # µs
    missing: int  # tokens that should have come

    def __str__(self) -> str:
        return f"{self.cpu_per_token:.1f} µs a token"


async def measure(bench: Bench) -> list[Row]:
    """Measure beside the relay in both ways of writing it: line by line, and piece by piece."""

    async def one(target: Target) -> Flat:
        return await flat(bench, target)

    async def by_line(target: Target) -> Flat:
        return await flat(bench, target._replace(name=BY_LINE) if target.name == RELAY else target)

    lines = await bench.alternate((TAILRACE, RELAY, FASTAPI), by_line)
    pieces = await bench.alternate((TAILRACE, RELAY, NGINX), one)
    what = f"CPU µs per token, as fast as it goes, {bench.scale.flat_streams} streams"
    missing = sum(result.missing for rounds in (lines, pieces) for result in rounds[TAILRACE])
    return [
        Row(f"{what}, relay by line", _costs(lines), 0.45, of_ratio=True, form="{:.2f}"),
        Row(f"{what}, relay by piece", _costs(pieces), form="{:.2f}"),
        Row("tokens that did not arrive", {TAILRACE: [missing]}, 0, form="{:.0f}"),
    ]


def _costs(rounds: dict[str, list[Flat]]) -> dict[str, list[float]]:
    return {name: [result.cpu_per_token for result in results] for name, results in rounds.items()}


async def flat(bench: Bench, target: Target) -> Flat:
    """Have each stream's tokens written without a pace, and read them all."""
    scale = bench.scale
    answers: list[Answer] = []
    meter = Meter(target, answers)
    answers += await ask_all(target, bench.orders(scale.flat_streams, "flat", scale.flat_tokens))
    await all_ended(answers)
    usage = await meter.settled()
    return Flat(usage.cpu_per_token, scale.flat_streams * scale.flat_tokens - usage.tokens)
