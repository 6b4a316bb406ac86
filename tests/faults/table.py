"""The table that a test run prints: what was seen under every fault and act."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from tests.faults.acts import Act

FINDING = "fault"
Row: TypeAlias = tuple[str, str, str, str]  # backend, fault, act, and what was seen
Record: TypeAlias = Callable[[str, Row], None]  # pytest's `record_property`


def lines(found: Iterable[Row]) -> Iterator[str]:
    """Yield the table as text: faults down, acts across, one part for each backend."""
    cells = {(backend, fault, act): seen for backend, fault, act, seen in found}
    faults = sorted({(backend, fault) for backend, fault, _ in cells})
    rows = [
        [f"{backend}: {fault}", *(cells.get((backend, fault, act), "-") for act in Act)]
        for backend, fault in faults
    ]
    head = ["", *Act]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
