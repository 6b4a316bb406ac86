"""The table: what was measured beside the peers and the goals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from tests.benchmarks.load.report.rows import Row, spread
from tests.benchmarks.load.servers.target import FASTAPI, NGINX, RELAY

HEADINGS = ("figure", "tailrace", "relay", "ratio", "nginx", "fastapi", "goal", "")


def cells(row: Row) -> tuple[str, ...]:
    """Return a figure as text, in the order of `HEADINGS`; of the other peers the medians alone."""
    goal = "" if row.goal is None else f"≤ {row.goal:g}" + (" x" if row.of_ratio else "")
    others = (row.values.get(name, ()) for name in (NGINX, FASTAPI))
    return (
        row.figure,
        spread(row.ours, row.form),
        spread(row.values.get(RELAY, ()), row.form),
        spread(row.ratios, "{:.2f}"),
        *(row.form.format(median(values)) if values else "-" for values in others),
        goal,
        row.verdict,
    )


def render(rows: Sequence[Row]) -> str:
    """Return the table as text, columns aligned."""
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    align: list[Callable[[str, int], str]] = [str.ljust, *[str.rjust] * (len(HEADINGS) - 2), str.ljust]
    return "\n".join(
        "  ".join(put(cell, width) for put, cell, width in zip(align, line, widths, strict=True)).rstrip()
        for line in lines
    )
