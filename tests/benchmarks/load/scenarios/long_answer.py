"""What the next token costs when an answer is long already."""

from __future__ import annotations

import asyncio

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.answer import PATIENCE, all_began, ask_all
from tests.benchmarks.load.client.meter import Meter
from tests.benchmarks.load.report.rows import Row
from tests.benchmarks.load.scenarios.ending import ENDLESS, leave
from tests.benchmarks.load.servers.target import RELAY, TAILRACE, Target

SHORT = 100  # tokens
SETTLE = 0.5  # s; what the burst of the first tokens left to do is done then


async def measure(bench: Bench) -> list[Row]:
    """Measure paced answers that begin with so many tokens at once, short and long ones in turn."""
    long = bench.scale.long_tokens

    async def one(target: Target) -> tuple[float, float]:
        return await cost(bench, target, SHORT), await cost(bench, target, long)

    rounds = await bench.alternate((TAILRACE, RELAY), one, "{0[0]:.1f}, {0[1]:.1f} µs a token".format)
    late = {name: [pair[1] for pair in pairs] for name, pairs in rounds.items()}
    growth = {name: [pair[1] / pair[0] for pair in pairs] for name, pairs in rounds.items()}
    return [
        Row(f"CPU µs per token, at token {long:,} of an answer", late),
        Row(f"growth of that from token {SHORT}, x", growth, 1.1, form="{:.2f}"),
    ]


async def cost(bench: Bench, target: Target, lead: int) -> float:
    """Return the microseconds of processor time of a token after the first `lead`."""
    scale = bench.scale
    answers = await ask_all(target, bench.orders(scale.long_streams, "paced", ENDLESS, lead))
    await all_began(answers)
    async with asyncio.timeout(PATIENCE):
        while not all(answer.tokens > lead for answer in answers):
            await asyncio.sleep(0.02)
    await asyncio.sleep(SETTLE)
    meter = Meter(target, answers)
    await asyncio.sleep(scale.window)
    usage = meter.read()
    await leave(target, answers)
    return usage.cpu_per_token
