"""The scenarios by name, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from tests.benchmarks.load.bench import Bench, Scale
from tests.benchmarks.load.model import Model
from tests.benchmarks.load.report.rows import Row
from tests.benchmarks.load.scenarios import (
    cluster,
    exchange,
    fast,
    growth,
    long_answer,
    memory,
    page,
    sessions,
    start,
    steady,
    stop,
    storm,
    viewers,
    waiting,
)
from tests.benchmarks.load.servers.cores import Cores
from tests.benchmarks.load.servers.running import Servers

SCENARIOS: dict[str, Callable[[Bench], Awaitable[list[Row]]]] = {
    "steady": steady.measure,
    "fast": fast.measure,
    "exchange": exchange.measure,
    "storm": storm.measure,
    "stop": stop.measure,
    "viewers": viewers.measure,
    "memory": memory.measure,
    "waiting": waiting.measure,
    "growth": growth.measure,
    "long": long_answer.measure,
    "page": page.measure,
    "sessions": sessions.measure,
    "start": start.measure,
    "cluster": cluster.measure,
}


class Results(NamedTuple):
    """All figures, and the peers that could not be run, each with the reason."""

    rows: list[Row]
    missing: dict[str, str]


async def run(scale: Scale, cores: Cores, names: Sequence[str]) -> Results:
    """Measure the scenarios of these names."""
    rows: list[Row] = []
    async with Model() as model, Servers(model.url, cores.server) as servers:
        bench = Bench(model, servers, scale)
        for name in names:
            bench.say(f"--- {name}")
            rows += await SCENARIOS[name](bench)
        return Results(rows, servers.missing)
