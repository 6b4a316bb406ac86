"""Eight tabs of one browser over HTTP/1.1, an answer streaming in each: none waits for a connection."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from tests.benchmarks.page.stage import ESSAY, Stage, grows, seen
from tests.benchmarks.page.table import Gate, at_most

TABS = 8  # two more than the connections that a browser opens to one server
LIMIT = 500.0  # ms
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd || null"


class Tabs(NamedTuple):
    """What became of the tabs."""

    loads: list[float]  # ms, in the order in which they were opened
    alive: int  # tabs in which more and more of the answer came, once all were open


async def open_tabs(stage: Stage, name: str = "tab") -> Tabs:
    """Open one tab after the other, each with an answer of its own, and see that all of them go on."""
    async with stage.context() as context:
        streams = [await stage.ask(f"{name}-{number}", ESSAY) for number in range(TABS)]
        tabs = [await stage.open(context, f"/sessions/{name}-{number}") for number in range(TABS)]
        loads = [float(await seen(tab.page, LOADED)) for tab in tabs]
        alive = sum([await grows(tab) for tab in tabs])
        for stream in streams:
            await stage.client.stop(stream)
        return Tabs(loads, alive)


async def measure(stage: Stage, rounds: int) -> list[Gate]:
    """Hold the slowest tab against the limit, the median of several rounds; all must go on in each of them.

    Beside it stands the first tab, which says how busy the machine is.
    """
    seen_rounds = [await open_tabs(stage, f"tab-{number}") for number in range(rounds)]
    slowest = median(max(loads) for loads, _ in seen_rounds)
    first = median(loads[0] for loads, _ in seen_rounds)
    alive = min(alive for _, alive in seen_rounds)
    note = f" (first {first:.0f}, slowest {slowest / first:.1f} times as long)"
    return [
        at_most("eight tabs: slowest load, ms", slowest, LIMIT, note=note),
        Gate("eight tabs: answers that go on", f"{TABS}", f"{alive}", alive == TABS),
    ]
