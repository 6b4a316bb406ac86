"""Makes a failing schedule small: fewer operations, fewer departures, lower choices, the same invariant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tests.schedules.choices import Chooser, Scripted, departures, write_token
from tests.schedules.invariants import Violation
from tests.schedules.scenario import Scenario
from tests.schedules.world import PRODUCT, Subject, World, play

MOST_TRIALS = 1500


class Failure(NamedTuple):
    """A schedule in which an invariant did not hold."""

    scenario: Scenario
    violation: Violation
    script: Mapping[int, int]
    story: list[str]

    @property
    def token(self) -> str:
        """What replays it."""
        return write_token(self.scenario.name, self.script)

    def __str__(self) -> str:
        return (
            f"{self.violation}\n  in: {' · '.join(self.story)}\n"
            f"  of: {self.scenario}\n  make explore REPLAY={self.token}"
        )


class Shrinker:
    """Tries what is simpler, and keeps it while the same invariant fails."""

    def __init__(
        self, scenario: Scenario, script: Mapping[int, int], violation: Violation, subject: Subject
    ) -> None:
        self._scenario = scenario
        self._script = dict(script)
        self._violation = violation
        self._subject = subject
        self._trials = 0

    def shrink(self) -> Failure:
        """Shrink until nothing gets simpler, or the trials are used up."""
        size = None
        while size != (size := self._size()) and self._trials < MOST_TRIALS:
            self._drop_operations()
            self._drop_departures()
            self._lower_choices()
        failure = replay(self._scenario, self._script, self._subject)
        assert failure is not None, "a schedule that failed once does so each time"
        return failure

    def _size(self) -> tuple[int, int]:
        return sum(map(len, self._scenario.lanes)), sum(self._script.values())

    def _try(self, scenario: Scenario, script: dict[int, int]) -> bool:
        self._trials += 1
        if self._trials > MOST_TRIALS:
            return False
        violation = play(scenario, Scripted(script), self._subject)
        if violation is None or violation.invariant != self._violation.invariant:
            return False
        self._scenario, self._script = scenario, script
        return True

    def _drop_operations(self) -> None:
        for number in sorted(self._scenario.numbers(), reverse=True):
            smaller = self._scenario.without(number)
            # The steps of the script are others now. It may fail all the same, or without any script.
            _ = self._try(smaller, {}) or self._try(smaller, self._script)

    def _drop_departures(self) -> None:
        size = len(self._script)
        while size:
            steps = sorted(self._script)
            for place in range(0, len(steps), size):
                dropped = set(steps[place : place + size])
                self._try(
                    self._scenario, {step: c for step, c in self._script.items() if step not in dropped}
                )
            size //= 2

    def _lower_choices(self) -> None:
        for step in sorted(self._script):
            for lower in range(1, self._script[step]):
                if self._try(self._scenario, {**self._script, step: lower}):
                    break


def shrink(scenario: Scenario, chooser: Chooser, violation: Violation, subject: Subject) -> Failure:
    """Return the same violation in as small a schedule of as few operations as a bounded search finds."""
    return Shrinker(scenario, departures(chooser.chosen), violation, subject).shrink()


def replay(scenario: Scenario, script: Mapping[int, int], subject: Subject = PRODUCT) -> Failure | None:
    """Run one schedule; return how it failed, or `None` if it did not."""
    world = World(scenario, Scripted(script), subject)
    try:
        world.run()
    except Violation as violation:
        return Failure(scenario, violation, script, world.story)
    return None
