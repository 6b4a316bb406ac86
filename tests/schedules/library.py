"""Finds a scenario, and who is on trial in it, by name."""

from __future__ import annotations

from tests.schedules.plain import PlainRegistry
from tests.schedules.scenario import WITHOUT, Scenario
from tests.schedules.scenarios import SCENARIOS
from tests.schedules.walks import PREFIX, walk
from tests.schedules.world import PRODUCT, Subject
from tests.schedules.wrong.culprits import CULPRITS, GROUND

SMALL = {scenario.name: scenario for scenario in (*GROUND, *(c.scenario for c in CULPRITS), *SCENARIOS)}


def scenario(name: str) -> Scenario:
    """Return a scenario, operations left out that the name says are. Raises `KeyError`."""
    whole, _, numbers = name.partition(WITHOUT)
    number = whole.removeprefix(PREFIX)
    found = walk(int(number)) if whole.startswith(PREFIX) and number.isdecimal() else SMALL[whole]
    for dropped in numbers.split("-") if numbers else ():
        found = found.without(int(dropped))
    return found


def subjects() -> dict[str, Subject]:
    """Return who can be on trial: the product, the plain registry, and the wrong ones by their class."""
    found = {"product": PRODUCT, "PlainRegistry": Subject(PlainRegistry)}
    for culprit in CULPRITS:
        maker = culprit.subject.heart if culprit.subject.viewer is PRODUCT.viewer else culprit.subject.viewer
        found[getattr(maker, "__name__", repr(maker))] = culprit.subject
    return found
