"""The start of a server without a model, until it is ready, and its memory then."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.answer import PATIENCE
from tests.benchmarks.load.client.visitor import Visitor
from tests.benchmarks.load.report.rows import Row
from tests.benchmarks.load.servers.target import RELAY, TAILRACE, Target

MIB = 1024 * 1024


class Started(NamedTuple):
    """One start."""

    seconds: float
    memory: float  # MiB

    def __str__(self) -> str:
        return f"ready after {self.seconds:.2f} s, {self.memory:.0f} MiB"


async def measure(bench: Bench) -> list[Row]:
    """Start in an empty data folder, then in the same again. Beside them, the relay."""
    first: list[Started] = []
    again: list[Started] = []
    relay: list[Started] = []
    for number in range(bench.scale.rounds):
        with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
            for starts in (first, again):
                starts.append(await started(bench.servers.tailrace(DATA_DIR=folder)))
        relay.append(await started(bench.servers.fresh(RELAY)))
        bench.say(
            f"round {number + 1} of {bench.scale.rounds}: {first[-1]}; again: {again[-1]}; relay: {relay[-1]}"
        )
    theirs = [one.seconds for one in relay]
    return [
        Row("start to ready, empty data folder, s", _seconds(first, theirs), 0.7, form="{:.2f}"),
        Row("start to ready, s", _seconds(again, theirs), 0.7, form="{:.2f}"),
        Row(
            "resident memory then, MiB",
            {TAILRACE: [one.memory for one in again], RELAY: [one.memory for one in relay]},
            60.0,
        ),
    ]


def _seconds(ours: list[Started], theirs: list[float]) -> dict[str, list[float]]:
    return {TAILRACE: [one.seconds for one in ours], RELAY: theirs}


async def started(server: AbstractAsyncContextManager[Target]) -> Started:
    """Start a server; end it once it is ready."""
    began = time.perf_counter()
    async with server as target:
        if target.is_ours:
            visitor = await Visitor.come(target)
            async with asyncio.timeout(PATIENCE):
                while (await visitor.ask(target.raw("GET", "/readyz"))).status != 200:
                    await asyncio.sleep(0.01)
            visitor.leave()
        return Started(time.perf_counter() - began, target.memory() / MIB)
