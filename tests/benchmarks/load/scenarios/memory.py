"""The memory of running streams with a viewer each, and of viewers of sessions in which nothing happens."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.answer import Answer, all_began, all_ended, ask_all, hang_up
from tests.benchmarks.load.model import PER_SECOND
from tests.benchmarks.load.report.rows import Row
from tests.benchmarks.load.scenarios.ending import ENDLESS
from tests.benchmarks.load.scenarios.fresh import KIB, connected, each_fresh
from tests.benchmarks.load.servers.target import RELAY, TAILRACE, Target

EARLY = 1.0  # s


class Running(NamedTuple):
    """One round."""

    each: float  # KiB of a stream
    per_token: float  # bytes by which it grows with each token

    def __str__(self) -> str:
        return f"{self.each:.1f} KiB a stream, {self.per_token:.0f} bytes a token"


async def measure(bench: Bench) -> list[Row]:
    """Measure each time in a fresh server."""

    async def running(target: Target) -> Running:
        return await running_memory(bench, target)

    async def idle(target: Target) -> float:
        return await idle_viewer_memory(bench, target)

    rounds = await each_fresh(bench, (TAILRACE, RELAY), running, str)
    each = {name: [one.each for one in results] for name, results in rounds.items()}
    growth = {name: [one.per_token for one in results] for name, results in rounds.items()}
    tokens = round(bench.scale.running * PER_SECOND)
    idle_viewers = await each_fresh(bench, (TAILRACE,), idle, "{:.1f} KiB".format)
    return [
        Row(f"memory per running stream with a viewer, {tokens} tokens in, KiB", each, 40.0),
        Row("memory by which it grows per token, bytes", growth, form="{:.0f}"),
        Row("memory per idle viewer, KiB", idle_viewers, 15.0),
    ]


async def running_memory(bench: Bench, target: Target) -> Running:
    """Return the memory of one running stream with its viewer. Wants a fresh server.

    It depends on how long the answers are by then: the text is kept until it is on disk, and for other viewers.
    """
    await bench.warm(target)
    before = target.memory()
    answers = await ask_all(target, bench.orders(bench.scale.streams, "paced", ENDLESS))
    await all_began(answers)
    await asyncio.sleep(EARLY)
    early = target.memory()
    await asyncio.sleep(bench.scale.running - EARLY)
    late = target.memory()
    hang_up(answers)
    per_token = (late - early) / len(answers) / (bench.scale.running - EARLY) / PER_SECOND
    return Running((late - before) / len(answers) / KIB, per_token)


async def idle_viewer_memory(bench: Bench, target: Target) -> float:
    """Return the KiB of one viewer of a session in which nothing happens. Wants a fresh server."""
    await bench.warm(target)
    order = next(bench.orders(1, "flat", 1))
    await all_ended(await ask_all(target, [order]))
    before = target.memory()
    view = target.raw("GET", f"/api/sessions/{order.session}/events")
    viewers = [await Answer.ask(target, view) for _ in range(bench.scale.waiting)]
    await connected(viewers)
    used = target.memory() - before
    hang_up(viewers)
    return used / len(viewers) / KIB
