"""Histograms and bounded label values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.measures import OTHER, Histogram, Histograms, LabelValues


@given(st.lists(st.floats(0, 20)))
def test_a_bucket_counts_what_is_not_above_its_bound(values: list[float]) -> None:
    """For each bound, as Prometheus defines `le`; the last bucket counts everything."""
    histogram = Histogram((1, 2.5, 10))
    for value in values:
        histogram.observe(value)
    expected = [
        (text, float(sum(value <= bound for value in values)))
        for text, bound in (("1.0", 1), ("2.5", 2.5), ("10.0", 10))
    ]
    assert histogram.cumulative() == [*expected, ("+Inf", float(len(values)))]
    assert histogram.count == len(values)
    assert histogram.total == pytest.approx(sum(values))


def test_each_combination_of_labels_has_a_histogram() -> None:
    """A value is counted under its own labels alone."""
    histograms = Histograms((1,))
    histograms.observe(0.5, "a", "x")
    histograms.observe(2, "a", "x")
    histograms.observe(3, "a", "y")
    assert {labels: histogram.total for labels, histogram in histograms} == {("a", "x"): 2.5, ("a", "y"): 3}


def test_label_values_are_bounded() -> None:
    """Values beyond the bound share one name, and asking for a value does not make it known."""
    values = LabelValues(2)
    assert values.of("first") == OTHER
    assert [values.learn(name) for name in ("first", "second", "third", "first")] == [
        "first",
        "second",
        OTHER,
        "first",
    ]
    assert [values.of(name) for name in ("second", "third")] == ["second", OTHER]
