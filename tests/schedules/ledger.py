"""What the search has done in this test run, for the summary at its end."""

from __future__ import annotations

from typing import NamedTuple

from tests.schedules.explorer import Explored


class Conviction(NamedTuple):
    """A wrong one, and how it was found out."""

    mistake: str
    explored: Explored


class Ledger:
    """Counts schedules, and keeps the convictions."""

    def __init__(self) -> None:
        self.scenarios = 0
        self.schedules = 0
        self.walks = 0
        self.convictions: list[Conviction] = []

    def __repr__(self) -> str:
        return f"<Ledger schedules={self.schedules} walks={self.walks} convictions={len(self.convictions)}>"

    def lines(self) -> list[str]:
        """Return the summary."""
        lines = []
        if self.schedules or self.walks:
            lines.append(
                f"{self.schedules:,} schedules of {self.scenarios} scenarios, {self.walks} long walks"
            )
        for mistake, (schedules, _, _, failure) in self.convictions:
            if failure is not None:
                number = failure.violation.invariant
                lines.append(f"convicted: {mistake}: invariant {number}, after {schedules} schedules")
                lines.append(f"           {' · '.join(failure.story)}   [{failure.token}]")
        return lines


LEDGER = Ledger()
