"""Scenarios: operations in lanes, and what surrounds them."""

from __future__ import annotations

from typing import NamedTuple

from app.streams.bounds import Bounds
from tests.schedules.histories import SlowHistory
from tests.schedules.operations import Operation

Lane = tuple[Operation, ...]
WITHOUT = "-without-"


class Scenario(NamedTuple):
    """Operations in lanes: those of one lane happen in order, the lanes among each other in any."""

    name: str
    lanes: tuple[Lane, ...]
    bounds: Bounds = Bounds(viewer_grace=None)
    history: type[SlowHistory] = SlowHistory
    answers: int | None = None  # that the model server gives at once; None: any number
    dropped: frozenset[int] = (
        frozenset()
    )  # operations that were taken out, by their number in the whole scenario

    def __str__(self) -> str:
        return " ‖ ".join(" · ".join(map(str, lane)) for lane in self.lanes)

    def numbers(self) -> list[int]:
        """Return the numbers of the operations that are left."""
        whole = sum(map(len, self.lanes)) + len(self.dropped)
        return [number for number in range(whole) if number not in self.dropped]

    def without(self, number: int) -> Scenario:
        """Return the scenario without one of its operations. The name tells which are missing."""
        place = self.numbers().index(number)
        lanes = []
        for lane in self.lanes:
            lanes.append(lane[:place] + lane[place + 1 :] if 0 <= place < len(lane) else lane)
            place -= len(lane)
        dropped = self.dropped | {number}
        name = self.name.partition(WITHOUT)[0] + WITHOUT + "-".join(map(str, sorted(dropped)))
        return self._replace(name=name, lanes=tuple(lanes), dropped=dropped)
