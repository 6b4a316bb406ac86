"""What tests find out beside pass and fail: tables that a run prints at its end.

A test hands each finding to pytest's `record_property`. So it travels with the report of the test, also from the
process of a parallel run that ran the test to the one that prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.faults import table as faults
from tests.history import crashing
from tests.schedules import ledger

# The name of a finding, the headline of its table, and what makes lines of all that were recorded.
TABLES: list[tuple[str, str, Callable[[list[Any]], Iterable[str]]]] = [
    (faults.FINDING, "what each fault came to, under each act", faults.lines),
    (crashing.FINDING, "what was there after each crash", crashing.lines),
    (ledger.FINDING, "explored schedules", ledger.lines),
]


def recorded(name: str, reports: Iterable[Any]) -> list[Any]:
    """Return the findings of this name, in the order of the reports."""
    return [
        value
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for key, value in report.user_properties
        if key == name
    ]


def print_tables(reporter: pytest.TerminalReporter) -> None:
    """Print every table that has a row."""
    reports = [report for each in reporter.stats.values() for report in each]
    for name, headline, lines in TABLES:
        if found := recorded(name, reports):
            reporter.section(headline)
            for line in lines(found):
                reporter.write_line(line)
