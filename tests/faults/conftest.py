"""The table of faults, kept through the run and printed at its end."""

from __future__ import annotations

import pytest

from tests.faults.table import TABLE, Cells, lines


@pytest.fixture
def table(pytestconfig: pytest.Config) -> Cells:
    """The table of this run."""
    return pytestconfig.stash.setdefault(TABLE, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table if any of it was filled."""
    if cells := config.stash.get(TABLE, None):
        terminalreporter.section("what each fault came to, under each act")
        for line in lines(cells):
            terminalreporter.write_line(line)
