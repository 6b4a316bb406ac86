"""The figures: what was measured of each server, held against the goal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median, quantiles
from typing import NamedTuple

from tests.benchmarks.load.servers.target import RELAY, TAILRACE

MS = 1000.0  # in a second


class Row(NamedTuple):
    """One figure. What is held against the goal is the ratio to the relay where `of_ratio` says so, else ours."""

    figure: str
    values: Mapping[str, Sequence[float]]  # by server, one value a round; rounds are the same for all
    goal: float | None = None
    of_ratio: bool = False
    form: str = "{:.1f}"
    plotted: int | None = None  # the number of streams, of a figure that the plot shows

    @property
    def ours(self) -> Sequence[float]:
        """One value a round."""
        return self.values.get(TAILRACE, ())

    @property
    def ratios(self) -> list[float]:
        """Ours to the relay's, within each round: across rounds a shared machine is not comparable with itself."""
        pairs = zip(self.ours, self.values.get(RELAY, ()), strict=False)
        return [ours / theirs for ours, theirs in pairs if theirs]

    @property
    def judged(self) -> float | None:
        """What is held against the goal; `None` without a goal or a value."""
        values = self.ratios if self.of_ratio else self.ours
        return median(values) if values and self.goal is not None else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached, `None` without one."""
        return None if self.judged is None or self.goal is None else self.judged <= self.goal

    @property
    def verdict(self) -> str:
        """`met`, or by how much it was missed; empty without a goal."""
        if self.judged is None or self.goal is None:
            return ""
        if self.met:
            return "met"
        return f"missed by {self.judged / self.goal - 1:.0%}" if self.goal else f"missed by {self.judged:g}"


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile, 0 if there are no values."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def at(percent: int, rounds: Mapping[str, Iterable[Sequence[float]]]) -> dict[str, list[float]]:
    """Return a percentile of the seconds of each round, in milliseconds, by server."""
    return {name: [percentile(times, percent) * MS for times in each] for name, each in rounds.items()}


def spread(values: Sequence[float], form: str) -> str:
    """Return the median, and from where to where the rounds went."""
    if not values:
        return "-"
    middle, low, high = (form.format(value) for value in (median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"
