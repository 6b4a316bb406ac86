"""The table: what was measured beside the relay and the goals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import NamedTuple

HEADINGS = ("figure", "tailrace", "relay", "ratio", "goal", "")


class Row(NamedTuple):
    """One figure. A number to hold against a goal is the ratio where there is one, else ours."""

    figure: str
    ours: Sequence[float]  # one value a round
    relay: Sequence[float] = ()  # likewise, of the same rounds
    goal: float | None = None
    of_ratio: bool = False  # whether the goal is meant for the ratio
    form: str = "{:.1f}"

    @property
    def ratios(self) -> list[float]:
        """Ours to the relay's, within each round: across rounds a shared machine is not comparable with itself."""
        return [ours / relay for ours, relay in zip(self.ours, self.relay, strict=True) if relay]

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached, `None` without one."""
        values = self.ratios if self.of_ratio else self.ours
        return None if self.goal is None or not values else median(values) <= self.goal

    def cells(self) -> tuple[str, ...]:
        """Return it as text, in the order of `HEADINGS`."""
        goal = "" if self.goal is None else f"≤ {self.goal:g}" + (" x" if self.of_ratio else "")
        mark = {True: "yes", False: "NO", None: ""}[self.met]
        ratio = _spread(self.ratios, "{:.2f}") if self.of_ratio else ""
        return self.figure, _spread(self.ours, self.form), _spread(self.relay, self.form), ratio, goal, mark


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile, 0 if there are no values."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _spread(values: Sequence[float], form: str) -> str:
    """Return the median, and from where to where the rounds went."""
    if not values:
        return "-"
    middle, low, high = (form.format(value) for value in (median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def render(rows: Sequence[Row]) -> str:
    """Return the table as text, columns aligned."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    align: list[Callable[[str, int], str]] = [str.ljust, *[str.rjust] * (len(HEADINGS) - 1)]
    return "\n".join(
        "  ".join(put(cell, width) for put, cell, width in zip(align, line, widths, strict=True)).rstrip()
        for line in lines
    )
