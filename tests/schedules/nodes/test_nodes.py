"""Several nodes under every schedule that the search can afford; and whoever is wrong on purpose is found out."""

from __future__ import annotations

import pytest

from tests.schedules.choices import read_token
from tests.schedules.ledger import FINDING, Record
from tests.schedules.nodes.explorer import explore
from tests.schedules.nodes.scenarios import SCENARIOS
from tests.schedules.nodes.world import NodesScenario, replay
from tests.schedules.nodes.wrong import CULPRITS, Culprit

SCHEDULES = 100  # of each scenario
SEARCHES = 600  # for a mistake, at most


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_no_schedule_breaks_an_invariant(scenario: NodesScenario, record_property: Record) -> None:
    """Whatever comes late, and whoever dies, is paused or is overtaken."""
    explored = explore(scenario, SCHEDULES)
    record_property(FINDING, {"schedules": explored.schedules, "scenarios": 1})
    assert explored.failure is None, f"\n{explored.failure}"


@pytest.mark.parametrize("culprit", CULPRITS, ids=lambda culprit: culprit.mistake)
def test_a_wrong_one_is_convicted(culprit: Culprit, record_property: Record) -> None:
    """The explorer names the invariant that the mistake breaks, and the token of its schedule breaks it again."""
    explored = explore(culprit.scenario, SEARCHES, parts=culprit.parts)
    assert explored.failure is not None, f"{culprit.mistake}: not convicted in {explored.schedules} schedules"
    failure = explored.failure
    record_property(
        FINDING,
        {
            "convicted": [
                f"convicted: {culprit.mistake}: invariant {failure.violation.invariant} of the nodes, "
                f"after {explored.schedules} schedules",
                f"           {' · '.join(failure.story)}   [{failure.token}]",
            ]
        },
    )
    assert failure.violation.invariant in culprit.breaks, failure
    _, script = read_token(failure.token)
    violation, story = replay(culprit.scenario, script, culprit.parts)
    assert violation is not None
    assert story == failure.story
