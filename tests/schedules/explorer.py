"""The search: all schedules with few departures from the default first, then random walks."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from tests.schedules.choices import Scripted, Walking
from tests.schedules.scenario import Scenario
from tests.schedules.shrinking import Failure, shrink
from tests.schedules.world import PRODUCT, Subject, play


class Explored(NamedTuple):
    """What a search found. `depth`: every schedule with that many departures was run; -1: not even the default."""

    schedules: int
    depth: int
    everything: bool  # the scenario has no other schedule
    failure: Failure | None


def explore(scenario: Scenario, budget: int, *, seed: int = 0, subject: Subject = PRODUCT) -> Explored:
    """Run up to `budget` schedules of a scenario, those with the fewest departures first.

    A level, all schedules with the same number of departures, is run whole while the budget allows it. What is left
    of the budget goes to random walks.
    """
    ran, depth = 0, -1
    level: list[bytes] = [
        b""
    ]  # the last choices of the schedules of this level, each ending with its last departure
    while level:
        parents: list[tuple[bytes, bytearray, bytearray]] = []
        for prefix in level:
            chooser = Scripted(dict(enumerate(prefix)))
            ran += 1
            if violation := play(scenario, chooser, subject):
                return Explored(ran, depth, False, shrink(scenario, chooser, violation, subject))
            parents.append((prefix, chooser.chosen, chooser.options))
        depth += 1
        size = sum(sum(options[len(prefix) :]) - len(options) + len(prefix) for prefix, _, options in parents)
        if ran + size > budget:
            break
        level = list(children(parents))
    else:
        return Explored(ran, depth, True, None)
    return _walk(scenario, range(ran, budget), depth, seed, subject)


def children(parents: list[tuple[bytes, bytearray, bytearray]]) -> Iterator[bytes]:
    """Yield the next level, each schedule once: a departure is only ever added behind the last one."""
    for prefix, chosen, options in parents:
        for step in range(len(prefix), len(chosen)):
            for choice in range(1, options[step]):
                yield bytes(chosen[:step]) + bytes([choice])


def _walk(scenario: Scenario, numbers: range, depth: int, seed: int, subject: Subject) -> Explored:
    for number in numbers:
        chooser = Walking(Random(f"{scenario.name} {seed} {number}"))
        if violation := play(scenario, chooser, subject):
            failure = shrink(scenario, chooser, violation, subject)
            return Explored(number + 1, depth, False, failure)
    return Explored(max(numbers.stop, numbers.start), depth, False, None)
