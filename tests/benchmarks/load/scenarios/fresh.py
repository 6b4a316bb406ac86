"""What memory measurements share: a server that nobody has used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.answer import PATIENCE, Answer
from tests.benchmarks.load.servers.target import Target

T = TypeVar("T")
KIB = 1024


async def each_fresh(
    bench: Bench, names: Sequence[str], measure: Callable[[Target], Awaitable[T]], tell: Callable[[T], str]
) -> dict[str, list[T]]:
    """Measure in rounds as `Bench.alternate` does, each time in a server that nobody has used."""
    results: dict[str, list[T]] = {name: [] for name in names}
    for number in range(bench.scale.rounds):
        for name in names:
            async with bench.servers.fresh(name) as target:
                result = await measure(target)
            results[name].append(result)
            bench.model.forget()
            bench.say(f"round {number + 1} of {bench.scale.rounds}, {name}: {tell(result)}")
    return results


async def connected(answers: list[Answer]) -> None:
    """Wait until every request has the head of its response."""
    async with asyncio.timeout(PATIENCE):
        while not all(answer.head for answer in answers):
            await asyncio.sleep(0.02)
