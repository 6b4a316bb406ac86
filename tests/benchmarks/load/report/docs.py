"""Puts the figures into `docs/performance.md`: the table and what it was taken on, and the plot beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.benchmarks.load.report.as_json import machine
from tests.benchmarks.load.report.plot import render as render_plot
from tests.benchmarks.load.report.rows import Row
from tests.benchmarks.load.report.table import HEADINGS, cells
from tests.support.processes import ROOT

PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "images" / "performance.svg"
_PLACE = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def write(rows: Sequence[Row], missing: dict[str, str], load: float, rounds: int) -> None:
    """Replace the table in the page, and the plot."""
    text = "\n\n".join([_taken(missing, load, rounds), _table(rows)])
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_PLACE.sub(lambda place: f"{place[1]}{text}\n{place[2]}", page), encoding="utf-8")
    PLOT.write_text(render_plot(rows), encoding="utf-8")


def _taken(missing: dict[str, str], load: float, rounds: int) -> str:
    about = machine()
    lines = [
        f"Taken on {datetime.now(UTC):%d %B %Y} with CPython {about['python']} on {about['cores']} cores of "
        f"{about['processor']}; {rounds} rounds; load average before: {load:.1f}.",
        *(f"{name} is missing in some rows: {reason}." for name, reason in missing.items()),
    ]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> str:
    lines = [(*HEADINGS[:-1], "goal met?"), ("---",) * len(HEADINGS), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in lines)
