"""What is measured, in which order, and the rows of the table that come of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from tests.benchmarks.load import servers, standing, throughput
from tests.benchmarks.load.model import PER_SECOND, Model
from tests.benchmarks.load.scale import Bench, Scale
from tests.benchmarks.load.servers import Cores, Target
from tests.benchmarks.load.table import Row, percentile

MS = 1000.0  # in a second


async def run(scale: Scale, cores: Cores) -> list[Row]:
    """Measure everything and return the rows."""
    async with Model() as model:
        bench = Bench(model, scale, cores)
        direct = Target("direct", model.url, None)
        async with (
            servers.tailrace(model.url, cores.server) as ours,
            servers.relay(model.url, cores.server) as relay,
        ):
            rows = await at_pace(bench, direct, ours, relay)
            rows += await flat_out(bench, ours, relay)
            rows += await fanned_out(bench, ours)
            rows += await stopped(bench, ours, relay)
            rows += await stormed(bench, ours, relay)
        return rows + await held(bench)


async def at_pace(bench: Bench, direct: Target, ours: Target, relay: Target) -> list[Row]:
    """Paced streams: the cost of a token, the first token, and what is added to each."""
    results: dict[str, list[throughput.Paced]] = {"direct": [], "tailrace": [], "relay": []}
    for number in range(bench.scale.rounds):
        # The two take turns in going first: whoever comes second finds a warmer machine.
        pair = (ours, relay) if number % 2 else (relay, ours)
        for target in (direct, *pair):
            result = await throughput.paced(bench, target)
            results[target.name].append(result)
            bench.model.forget()
            say(
                f"round {number + 1}, {target.name}: {result.cpu_per_token:.1f} µs, {result.rate:.1f} tokens/s"
            )

    def costs(name: str) -> list[float]:
        return [result.cpu_per_token for result in results[name]]

    def added(name: str, times: Callable[[throughput.Paced], list[float]], percent: int) -> list[float]:
        """Milliseconds over the direct way, in each round."""
        pairs = zip(results[name], results["direct"], strict=True)
        return [
            (percentile(times(one), percent) - percentile(times(zero), percent)) * MS for one, zero in pairs
        ]

    what = f"{bench.scale.streams} x {PER_SECOND}/s"
    rows = [Row(f"CPU µs per token, {what}", costs("tailrace"), costs("relay"), 1.0, of_ratio=True)]
    for figure, times, percent, goal in (
        ("first token over direct, p50, ms", throughput.first_tokens, 50, 1.5),
        ("first token over direct, p99, ms", throughput.first_tokens, 99, 10.0),
        ("added per token, p50, ms", throughput.lags, 50, 0.5),
        ("added per token, p99, ms", throughput.lags, 99, 3.0),
    ):
        mine, theirs = added("tailrace", times, percent), added("relay", times, percent)
        rows.append(Row(figure, mine, theirs, goal, form="{:.2f}"))
    return rows


async def flat_out(bench: Bench, ours: Target, relay: Target) -> list[Row]:
    """As fast as it goes, beside the relay in both ways of writing it: piece by piece, and line by line."""
    by_line = relay._replace(name="relay by line")
    costs: dict[str, list[float]] = {"tailrace": [], "relay": [], "relay by line": []}
    missing = 0
    for _ in range(bench.scale.rounds):
        for target in (ours, relay, by_line):
            result = await throughput.flat(bench, target)
            costs[target.name].append(result.cpu_per_token)
            missing += result.missing
            bench.model.forget()
    what = f"CPU µs per token, as fast as it goes, {bench.scale.flat_streams} streams"
    mine = costs["tailrace"]
    return [
        Row(f"{what}, relay by line", mine, costs["relay by line"], 0.45, of_ratio=True, form="{:.2f}"),
        Row(f"{what}, relay by piece", mine, costs["relay"], of_ratio=True, form="{:.2f}"),
        Row("tokens that did not arrive", [missing], goal=0, form="{:.0f}"),
    ]


async def fanned_out(bench: Bench, ours: Target) -> list[Row]:
    """One stream, many viewers."""
    results = [await throughput.fan(bench, ours) for _ in range(bench.scale.fan_rounds)]
    costs = [result.cpu_per_token for result in results]
    return [Row(f"CPU µs per token delivered, 1 stream, {bench.scale.viewers} viewers", costs, goal=8.0)]


async def stopped(bench: Bench, ours: Target, relay: Target) -> list[Row]:
    """Stop to upstream closed."""
    mine = [await standing.stops(bench, ours)]
    theirs = [await standing.stops(bench, relay)]
    what = f"{bench.scale.stops} running, ms"
    return [
        Row(f"stop to upstream closed, p{percent}, {what}", *at(percent, mine, theirs), goal, form="{:.2f}")
        for percent, goal in ((50, 1.0), (99, 5.0))
    ]


async def stormed(bench: Bench, ours: Target, relay: Target) -> list[Row]:
    """A storm of newer prompts, spread and all at once."""
    mine: list[standing.Storm] = []
    theirs: list[standing.Storm] = []
    for _ in range(bench.scale.storms):
        mine.append(await standing.storm(bench, ours, spread=bench.scale.storm_spread))
        theirs.append(await standing.storm(bench, relay, spread=bench.scale.storm_spread))
    at_once = await standing.storm(bench, ours, spread=0.0)
    firsts = [storm.firsts for storm in mine], [storm.firsts for storm in theirs]
    overlaps = [storm.overlaps for storm in (*mine, at_once)]
    unanswered = [storm.unanswered for storm in (*mine, at_once)]
    what = "storm: newest prompt to first token"
    return [
        Row(f"{what}, p50, ms", *at(50, *firsts), 1.5, of_ratio=True, form="{:.2f}"),
        Row(f"{what}, p99, ms", *at(99, *firsts), 1.5, of_ratio=True, form="{:.2f}"),
        Row("storm: sessions with overlapping generations", [sum(overlaps)], goal=0, form="{:.0f}"),
        Row("storm: newest prompts not answered in full", [sum(unanswered)], goal=0, form="{:.0f}"),
    ]


async def held(bench: Bench) -> list[Row]:
    """Memory, each time in a fresh server, and the cost of doing nothing."""
    model_url, core = bench.model.url, bench.cores.server
    async with servers.tailrace(model_url, core) as ours, servers.relay(model_url, core) as relay:
        running = [await standing.running_memory(bench, target) for target in (ours, relay)]
    async with servers.tailrace(model_url, core) as ours:
        idle = await standing.idle_viewer_memory(bench, ours)
    async with servers.tailrace(model_url, core) as ours, servers.relay(model_url, core) as relay:
        mine, theirs = [await standing.waiting(bench, target) for target in (ours, relay)]
    what = f"{bench.scale.waiting} waiting streams"
    return [
        Row("memory per running stream with a viewer, KiB", running[:1], running[1:], 40.0),
        Row("memory per idle viewer, KiB", [idle], goal=15.0),
        Row(f"memory per stream, {what}, KiB", [mine.memory], [theirs.memory]),
        Row(f"CPU ms per second, {what}", [mine.cpu], [theirs.cpu], 2.0),
    ]


def at(percent: int, *sides: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Return a percentile of each round in milliseconds, ours and the relay's."""
    mine, theirs = ([percentile(times, percent) * MS for times in rounds] for rounds in sides)
    return mine, theirs


def say(text: str) -> None:
    """Show what goes on, beside the table."""
    print(text, file=sys.stderr, flush=True)
