"""The search with nodes: all schedules with few departures first, then random walks; a failing one is made small."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from tests.schedules.choices import Chooser, Scripted, Walking, departures, write_token
from tests.schedules.explorer import children
from tests.schedules.nodes.world import PRODUCT, NodesScenario, NodesViolation, Parts, play, replay

MOST_TRIALS = 400


class NodesFailure(NamedTuple):
    """A schedule in which an invariant did not hold."""

    violation: NodesViolation
    token: str
    story: list[str]

    def __str__(self) -> str:
        return f"{self.violation}\n  in: {' · '.join(self.story)}\n  {self.token}"


class NodesExplored(NamedTuple):
    """What a search found. `depth`: every schedule with that many departures was run."""

    schedules: int
    depth: int
    failure: NodesFailure | None


def explore(scenario: NodesScenario, budget: int, *, seed: int = 0, parts: Parts = PRODUCT) -> NodesExplored:
    """Run up to `budget` schedules; see `tests.schedules.explorer.explore`."""
    ran, depth, level = 0, -1, [b""]
    while level:
        parents = []
        for prefix in level:
            chooser = Scripted(dict(enumerate(prefix)))
            ran += 1
            if (violation := play(scenario, chooser, parts)) is not None:
                return NodesExplored(ran, depth, shrink(scenario, chooser, violation, parts))
            parents.append((prefix, chooser.chosen, chooser.options))
        depth += 1
        size = sum(sum(options[len(prefix) :]) - len(options) + len(prefix) for prefix, _, options in parents)
        if ran + size > budget:
            break
        level = list(children(parents))
    for number in range(ran, budget):
        walker = Walking(Random(f"{scenario.name} {seed} {number}"))
        ran += 1
        if (violation := play(scenario, walker, parts)) is not None:
            return NodesExplored(ran, depth, shrink(scenario, walker, violation, parts))
    return NodesExplored(ran, depth, None)


def shrink(
    scenario: NodesScenario, chooser: Chooser, violation: NodesViolation, parts: Parts
) -> NodesFailure:
    """Return the same violation with as few and as low departures as a bounded search finds."""
    script, trials = departures(chooser.chosen), 0

    def fails(smaller: Mapping[int, int]) -> bool:
        nonlocal trials
        trials += 1
        if trials > MOST_TRIALS:
            return False
        found = play(scenario, Scripted(smaller), parts)
        return found is not None and found.invariant == violation.invariant

    before = None
    while before != script:
        before = dict(script)
        for step in sorted(script, reverse=True):
            without = {at: choice for at, choice in script.items() if at != step}
            if fails(without):
                script = without
        for step, choice in sorted(script.items()):
            for lower in range(1, choice):
                if fails({**script, step: lower}):
                    script = {**script, step: lower}
                    break
    again, story = replay(scenario, script, parts)
    assert again is not None, "a schedule that failed once does so each time"
    return NodesFailure(again, write_token(scenario.name, script), story)
