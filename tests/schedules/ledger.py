"""What the search has done in a test run, for the table at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypedDict

from tests.schedules.explorer import Explored

FINDING = "schedules"


class Entry(TypedDict, total=False):
    """What one test adds."""

    schedules: int
    scenarios: int
    walks: int
    convicted: list[str]  # a wrong one, and how it was found out


Record: TypeAlias = Callable[[str, Entry], None]  # pytest's `record_property`


def conviction(mistake: str, explored: Explored) -> list[str]:
    """Return how a wrong one was convicted; nothing where it was not."""
    failure = explored.failure
    if failure is None:
        return []
    number = failure.violation.invariant
    return [
        f"convicted: {mistake}: invariant {number}, after {explored.schedules} schedules",
        f"           {' · '.join(failure.story)}   [{failure.token}]",
    ]


def lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the summary as text."""
    entries = list(entries)
    schedules = sum(entry.get("schedules", 0) for entry in entries)
    scenarios = sum(entry.get("scenarios", 0) for entry in entries)
    walks = sum(entry.get("walks", 0) for entry in entries)
    if schedules or walks:
        yield f"{schedules:,} schedules of {scenarios} scenarios, {walks} long walks"
    for entry in entries:
        yield from entry.get("convicted", [])
