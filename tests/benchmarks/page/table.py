"""The table: one line a gate, with what was measured and whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

HEADINGS = ("what", "gate", "measured", "")
MARKS = {True: "✓", False: "✗", None: "not measured"}


class Gate(NamedTuple):
    """One gate. `holds` is `None` where it could not be measured; `measured` then tells why."""

    what: str
    gate: str
    measured: str
    holds: bool | None

    def cells(self) -> tuple[str, ...]:
        """Return it as text, in the order of `HEADINGS`."""
        return self.what, self.gate, self.measured, MARKS[self.holds]


def at_most(what: str, value: float, limit: float, form: str = "{:.0f}", note: str = "") -> Gate:
    """Return the gate of a figure that must not be higher than `limit`; `form` says how numbers are written."""
    return Gate(what, f"≤ {form.format(limit)}", form.format(value) + note, value <= limit)


def none_of(what: str, found: Sequence[str], note: str = "") -> Gate:
    """Return the gate of something that must not be found at all; the first three findings are shown."""
    shown = "".join(f"; {one}" for one in found[:3])
    return Gate(what, "0", f"{len(found)}{note}{shown}", not found)


def render(gates: Sequence[Gate]) -> str:
    """Return the table as text, columns aligned."""
    lines = [HEADINGS, *(gate.cells() for gate in gates)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
