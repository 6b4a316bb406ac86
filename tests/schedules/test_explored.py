"""The product under every schedule that the search can afford: not one invariant breaks."""

from __future__ import annotations

from random import Random

import pytest

from tests.schedules.choices import Walking
from tests.schedules.explorer import explore
from tests.schedules.ledger import FINDING, Record
from tests.schedules.scenario import Scenario
from tests.schedules.scenarios import SCENARIOS
from tests.schedules.shrinking import shrink
from tests.schedules.walks import walk
from tests.schedules.world import PRODUCT, play

SCHEDULES = 450  # of each small scenario; together above 20,000
WALKS = 15  # in each of the tests of long walks


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_no_schedule_of_a_small_scenario_breaks_an_invariant(
    scenario: Scenario, record_property: Record
) -> None:
    """All schedules with one departure from the default, most with two, and many random ones keep all promises."""
    explored = explore(scenario, SCHEDULES)
    record_property(FINDING, {"schedules": explored.schedules, "scenarios": 1})
    assert explored.failure is None, f"\n{explored.failure}"
    assert explored.depth >= 1, "the budget is too small for the scenario"


@pytest.mark.parametrize("first", range(0, 10 * WALKS, WALKS))
def test_no_long_walk_breaks_an_invariant(first: int, record_property: Record) -> None:
    """Eight sessions and forty operations with every kind of trouble keep all promises."""
    for seed in range(first, first + WALKS):
        scenario, chooser = walk(seed), Walking(Random(seed))
        violation = play(scenario, chooser)
        record_property(FINDING, {"walks": 1})
        assert violation is None, f"\n{shrink(scenario, chooser, violation, PRODUCT)}"


def test_the_small_scenarios_are_worth_twenty_thousand_schedules() -> None:
    """The budget is what was promised."""
    assert len(SCENARIOS) * SCHEDULES >= 20_000
