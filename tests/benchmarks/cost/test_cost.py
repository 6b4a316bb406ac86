"""The hot paths do not become dearer unnoticed."""

from __future__ import annotations

import math

import pytest

from tests.benchmarks.cost import baseline
from tests.benchmarks.cost.measure import measure
from tests.machine import need

COUNTS = 3  # times that the instructions are counted, if they seem to have grown


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_no_token_viewer_or_prompt_costs_a_tenth_more_than_it_did() -> None:
    """Ratios of instructions to the relay's stay within a tenth of the stored ones.

    A busy machine adds turns of the loop, and never takes any away: what has grown is there in each of three counts.
    """
    need("valgrind")
    before = baseline.stored()
    if not before:
        pytest.skip(
            f"there is no baseline for CPython {baseline.release()}: `make cost ARGS=--update` stores one"
        )
    least = dict.fromkeys(before, math.inf)
    for _ in range(COUNTS):
        counted = await measure()
        assert counted.keys() == before.keys()
        least = {name: min(least[name], cost.ratio) for name, cost in counted.items()}
        if not list(baseline.grown(least, before)):
            return
    assert list(baseline.grown(least, before)) == []


def test_growth_above_a_tenth_is_named_with_what_to_do() -> None:
    """The sentence says what has grown, by how much, and how a new baseline is stored."""
    [sentence] = baseline.grown({"a token": 1.15, "a prompt": 4.3}, {"a token": 1.0, "a prompt": 4.0})
    assert "a token costs 1.150 x" in sentence
    assert "15%" in sentence
    assert "make cost ARGS=--update" in sentence


def test_a_baseline_names_what_is_measured_and_no_more() -> None:
    """Every release has the same costs, all above nothing."""
    every = baseline.releases()
    assert every
    names = {frozenset(ratios) for ratios in every.values()}
    assert len(names) == 1
    assert all(ratio > 0 for ratios in every.values() for ratio in ratios.values())
