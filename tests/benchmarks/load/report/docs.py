"""Puts the figures into `docs/performance.md`: the table, what it was taken on, why goals are missed, and the plot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.benchmarks.load.report.as_json import machine
from tests.benchmarks.load.report.plot import render as render_plot
from tests.benchmarks.load.report.reasons import missed
from tests.benchmarks.load.report.rows import Row
from tests.benchmarks.load.report.table import HEADINGS, cells
from tests.support.processes import ROOT

PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "images" / "performance.svg"
_PLACE = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)
_MISSED = re.compile(r"(<!-- missed goals -->\n).*?(<!-- end of missed goals -->)", re.DOTALL)


def write(rows: Sequence[Row], missing: dict[str, str], load: float, rounds: int) -> None:
    """Replace the table in the page, and the plot."""
    text = "\n\n".join([_taken(missing, load, rounds), _table(rows)])
    page = PAGE.read_text(encoding="utf-8")
    page = _PLACE.sub(lambda place: f"{place[1]}{text}\n{place[2]}", page)
    page = _MISSED.sub(lambda place: f"{place[1]}{_reasons(rows)}\n{place[2]}", page)
    PAGE.write_text(page, encoding="utf-8")
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
    return _lines([(*HEADINGS[:-1], "goal met?"), ("---",) * len(HEADINGS), *map(cells, rows)])


def _reasons(rows: Sequence[Row]) -> str:
    return _lines([("missed", "why"), ("---",) * 2, *missed(rows)])


def _lines(table: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in table)
