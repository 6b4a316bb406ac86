"""Durable histories for tests, and a server that they share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.history import postgres


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Postgres]:
    """One PostgreSQL for all of these tests."""
    server = postgres.start()
    yield server
    server.close()
