"""The least of a few runs counts."""

from __future__ import annotations

import time

import pytest

from tests.support.cost import TRIES, measured


class Clock:
    """A clock of the processor that each run moves on."""

    def __init__(self, *seconds: float) -> None:
        self.now, self.runs, self._left = 0.0, 0, list(seconds)

    def run(self) -> int:
        self.runs += 1
        self.now += self._left.pop(0)
        return self.runs


@pytest.mark.parametrize(
    ("seconds", "least", "runs"),
    [
        ((0.125, 9.0), 0.125, 1),
        ((1.5, 0.25, 9.0), 0.25, 2),
        ((1.25, 1.5, 1.0, 2.0, 2.25, 0.125), 1.0, TRIES),
        ((2.5, 0.125), 2.5, 1),
    ],
)
def test_the_least_counts(
    monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, ...], least: float, runs: int
) -> None:
    """One quick run is enough; what is slow each time is slow."""
    clock = Clock(*seconds)
    monkeypatch.setattr(time, "thread_time", lambda: clock.now)
    took, result = measured(clock.run, 0.25)
    monkeypatch.undo()
    assert took == least  # all of these are exact
    assert result == clock.runs == runs
