"""A storm: people who send one prompt after the other, spread over some seconds or all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.reading import Got, Read, library, raw
from tests.benchmarks.load.report.rows import MS, Row, at, percentile
from tests.benchmarks.load.servers.target import MEMORY, RELAY, TAILRACE, Target

GAP = 0.02  # s between the prompts of a session
TOKENS = 25  # of the newest answer: it goes on while others begin

Client = Callable[[Target], AbstractAsyncContextManager[Read]]


class Storm(NamedTuple):
    """One round."""

    firsts: list[float]  # s from each newest prompt to its first token
    overlaps: int  # sessions with two generations open at once
    unanswered: int  # newest prompts

    def __str__(self) -> str:
        middle, late = (percentile(self.firsts, percent) * MS for percent in (50, 99))
        return f"newest prompt to first token {middle:.1f} ms, p99 {late:.1f} ms"


async def measure(bench: Bench) -> list[Row]:
    """Measure as somebody outside does, with an HTTP library; the storm at once also without what that adds."""
    scale = bench.scale
    over, at_once = f"storm over {scale.storm_spread:g} s", f"storm at once, {scale.storm_sessions} sessions"
    spread = await _rounds(bench, library, scale.storm_spread)
    burst = await _rounds(bench, library, 0.0)
    bare = await _rounds(bench, raw, 0.0)
    ours = [
        result for rounds in (spread, burst, bare) for name in (TAILRACE, MEMORY) for result in rounds[name]
    ]
    overlaps, unanswered = sum(one.overlaps for one in ours), sum(one.unanswered for one in ours)
    return [
        *_rows(over, spread, 1.5),
        *_rows(at_once, burst, 2.5),
        *_rows(f"{at_once}, raw connections", bare, None),
        Row("storm: sessions with overlapping generations", {TAILRACE: [overlaps]}, 0, form="{:.0f}"),
        Row("storm: newest prompts not answered in full", {TAILRACE: [unanswered]}, 0, form="{:.0f}"),
    ]


async def _rounds(bench: Bench, client: Client, spread: float) -> dict[str, list[Storm]]:
    async def one(target: Target) -> Storm:
        return await storm(bench, target, client, spread)

    return await bench.alternate((TAILRACE, MEMORY, RELAY), one)


def _rows(which: str, rounds: dict[str, list[Storm]], goal: float | None) -> list[Row]:
    firsts = {name: [result.firsts for result in results] for name, results in rounds.items()}
    what = f"{which}: newest prompt to first token"
    rows = [Row(f"{what}, p{percent}, ms", at(percent, firsts), goal, of_ratio=True) for percent in (50, 99)]
    in_memory = {**firsts, TAILRACE: firsts[MEMORY]}
    return [*rows, Row(f"{what}, p50, history in memory, ms", at(50, in_memory))]


async def storm(bench: Bench, target: Target, client: Client, spread: float) -> Storm:
    """Let sessions begin within `spread` seconds, each with several prompts in a row, of which the last counts."""
    bench.model.most_open.clear()
    count = bench.scale.storm_sessions
    async with client(target) as read:
        users = [
            asyncio.create_task(_insist(bench, read, f"storm-{key}", spread * number / count))
            for number, key in enumerate(bench.keys(count))
        ]
        newest = [await user for user in users]
    firsts = [got.first for got in newest if got.first is not None]
    unanswered = sum(got.tokens != TOKENS for got in newest)
    return Storm(firsts, bench.model.overlaps, unanswered)


async def _insist(bench: Bench, read: Read, session: str, delay: float) -> Got:
    """Send the prompts of one session, each time leaving the answer before; return what came of the newest."""
    await asyncio.sleep(delay)
    *older, newest = bench.orders_in(session, bench.scale.storm_prompts, TOKENS)
    for order in older:
        left = asyncio.ensure_future(read(order))
        await asyncio.sleep(GAP)
        left.cancel()
        await asyncio.wait({left})
    return await read(newest)
