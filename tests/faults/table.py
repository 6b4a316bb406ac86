"""The table that a test run prints: what was seen under every fault and act."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.acts import Act

Cells = dict[tuple[str, str, Act], str]  # by backend, fault and act

TABLE: pytest.StashKey[Cells] = pytest.StashKey()


def lines(cells: Cells) -> Iterator[str]:
    """Yield the table as text: faults down, acts across, one part for each backend."""
    faults = list(dict.fromkeys((backend, fault) for backend, fault, _ in cells))
    rows = [
        [f"{backend}: {fault}", *(cells.get((backend, fault, act), "-") for act in Act)]
        for backend, fault in faults
    ]
    head = ["", *Act]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
