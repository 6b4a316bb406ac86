"""Histograms and bounded label values, for the metrics. An observation costs a search among few bounds and an addition.

`prometheus_client` renders them, but does not hold them: the core must not import it, and an observation there costs
five times as much, for locks that one event loop does not need.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

OTHER = "_OTHER"  # OpenTelemetry's name for values that have no name of their own
# Bounds in seconds, for what should take milliseconds.
QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)


class Histogram:
    """Counts values by size. `bounds` are the largest values of the buckets, ascending; the last bucket has none."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0  # sum of the values

    def __repr__(self) -> str:
        return f"<Histogram count={self.count} total={self.total:g}>"

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """Return the buckets of Prometheus: for each bound, how many values are not above it."""
        bounds = [*map(repr, map(float, self.bounds)), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self.counts)), strict=True))


class Histograms:
    """Histograms with the same bounds, one for each combination of label values. The caller bounds the values."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._by_labels: dict[tuple[str, ...], Histogram] = {}

    def __repr__(self) -> str:
        return f"<Histograms {len(self._by_labels)}>"

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], Histogram]]:
        return iter(self._by_labels.items())

    def observe(self, value: float, *labels: str) -> None:
        """Count a value under its labels."""
        histogram = self._by_labels.get(labels)
        if histogram is None:
            histogram = self._by_labels[labels] = Histogram(self._bounds)
        histogram.observe(value)


class LabelValues:
    """The values that a label may have: the first `most` that were learned. All others are `OTHER`."""

    def __init__(self, most: int, known: Sequence[str] = ()) -> None:
        self._most = most
        self._known = set(known)

    def __repr__(self) -> str:
        return f"<LabelValues {len(self._known)}/{self._most}>"

    def learn(self, value: str) -> str:
        """Return the value, which is known from now on if there is room for it."""
        if len(self._known) < self._most:
            self._known.add(value)
        return self.of(value)

    def of(self, value: str) -> str:
        """Return the value if it is known, else `OTHER`."""
        return value if value in self._known else OTHER
