"""The proof is proven: whoever is wrong on purpose is found out, and whoever is right is not."""

from __future__ import annotations

import pytest

from tests.schedules import library
from tests.schedules.choices import read_token
from tests.schedules.explorer import explore
from tests.schedules.ledger import FINDING, Record, conviction
from tests.schedules.plain import PlainRegistry
from tests.schedules.scenario import Scenario
from tests.schedules.shrinking import replay
from tests.schedules.world import Subject
from tests.schedules.wrong.culprits import CULPRITS, GROUND, Culprit

SCHEDULES = 400


@pytest.mark.parametrize("culprit", CULPRITS, ids=lambda culprit: culprit.mistake)
def test_a_wrong_one_is_convicted(culprit: Culprit, record_property: Record) -> None:
    """The explorer names the invariant that the mistake breaks, and the token of its schedule breaks it again."""
    explored = explore(culprit.scenario, SCHEDULES, subject=culprit.subject)
    record_property(FINDING, {"convicted": conviction(culprit.mistake, explored)})
    assert explored.failure is not None, f"{culprit.mistake}: not convicted in {explored.schedules} schedules"
    assert explored.failure.violation.invariant in culprit.breaks, explored.failure
    name, script = read_token(explored.failure.token)
    again = replay(library.scenario(name), script, culprit.subject)
    assert again is not None
    assert again.story == explored.failure.story


@pytest.mark.parametrize("scenario", GROUND, ids=lambda scenario: scenario.name)
def test_the_ground_that_they_stand_on_is_acquitted(scenario: Scenario) -> None:
    """The registry that the wrong ones change in one place breaks nothing: it is that place that convicts them."""
    explored = explore(scenario, SCHEDULES, subject=Subject(PlainRegistry))
    assert explored.failure is None, f"\n{explored.failure}"


@pytest.mark.parametrize("culprit", CULPRITS, ids=lambda culprit: culprit.mistake)
def test_the_product_is_acquitted_where_they_were_convicted(
    culprit: Culprit, record_property: Record
) -> None:
    """The same scenarios break nothing in the product."""
    explored = explore(culprit.scenario, SCHEDULES)
    record_property(FINDING, {"schedules": explored.schedules})
    assert explored.failure is None, f"\n{explored.failure}"
