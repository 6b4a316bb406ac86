"""Durable histories for tests, and a server that they share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.history import postgres
from tests.history.crashing import HEAD, Findings

TABLE: pytest.StashKey[list[Findings]] = pytest.StashKey()


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Postgres]:
    """One PostgreSQL for all of these tests."""
    server = postgres.start()
    yield server
    server.close()


@pytest.fixture
def table(pytestconfig: pytest.Config) -> list[Findings]:
    """What the crashes of this run came to."""
    return pytestconfig.stash.setdefault(TABLE, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of the crashes, if there were any."""
    if found := config.stash.get(TABLE, None):
        terminalreporter.section("what was there after each crash")
        for line in (HEAD, *(findings.row(number) for number, findings in enumerate(found, start=1))):
            terminalreporter.write_line(line)
