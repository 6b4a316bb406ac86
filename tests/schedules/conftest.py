"""Prints at the end of a test run how many schedules were explored, and who was convicted."""

from __future__ import annotations

import pytest

from tests.schedules.ledger import LEDGER


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Called by pytest."""
    lines = LEDGER.lines()
    if lines:
        terminalreporter.section("explored schedules")
        for line in lines:
            terminalreporter.write_line(line)
