"""Fixtures that every kind of test uses."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from app.web.assets import folders
from app.web.i18n import translations
from app.web.page import templates
from tests.support import scratch
from tests.support.accepting import mend_accepting
from tests.support.blocking import watched
from tests.support.client import Client
from tests.support.findings import print_tables
from tests.support.postgres import Postgres, running_postgres
from tests.support.server import LiveServer, serve
from tests.support.valkey import Valkey, running_valkey
from tests.support.workers import workers


@pytest.fixture(params=[True, False], ids=["cancelling", "not-cancelling"])
def handler_cancellation(request: pytest.FixtureRequest) -> bool:
    """Whether aiohttp cancels the handler of a client that leaves: everything must hold both ways."""
    return bool(request.param)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A real server with the scripted backend, on a free port."""
    async with serve(tmp_path) as live:
        yield live


@pytest.fixture
def client(server: LiveServer) -> Client:
    """A client of that server."""
    return server.client


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for all tests of a process, which starts it with the first that needs it."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """One Valkey for all tests of a process. Who kills or empties one starts an own one."""
    with running_valkey() as server:
        yield server


@pytest.fixture(scope="session")
def started() -> None:
    """Done once in a process, before it serves anybody: compiling the templates, reading the languages."""
    templates.environment()
    translations.load(folders.folder("translations"))


TESTS = Path(__file__).parent
# Where the whole server runs in the test's own loop.
UNBLOCKED = {"web", "functional", "faults"}


@pytest.fixture(autouse=True)
def nothing_blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which a single callback kept the event loop's thread busy for too long."""
    if UNBLOCKED.isdisjoint(request.path.relative_to(TESTS).parts):
        yield
        return
    request.getfixturevalue("started")
    with watched() as blocks:
        yield
    assert not blocks.found, "the event loop was blocked: " + "; ".join(blocks.found)


# An example has no deadline: how long it takes is up to what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SCRATCH = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Close what is accepted too late, and let the threads of the embedded model sleep while they wait for each other.

    Temporary files go into a folder that is removed after the run; the processes of a parallel run share it.

    By default they spin. Beside another process of the tests, a core short, one then burns the time that the other
    needs, and an answer of a second takes a minute.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    *others, _ = structlog.get_config()["processors"]
    # Without the local variables of each frame, which take a tenth of a second to print.
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*others, plain])
    mend_accepting()
    if "PYTEST_XDIST_WORKER" not in os.environ:
        config.stash[SCRATCH] = scratch.make()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder of temporary files."""
    if (folder := config.stash.get(SCRATCH, None)) is not None:
        scratch.remove(folder)


# What takes longest or waits most: begun last, it would keep one process of a run when all others are done.
FIRST = (
    "tests/benchmarks/load/",
    "tests/benchmarks/soak/",
    "tests/history/test_crash.py",
    "tests/functional/test_auto_continue.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests."""
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


def pytest_collection_finish() -> None:
    """Spare the collector of garbage what lives as long as the run: thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Collect between two files: a collection of all that a worker has gathered would look like a blocked loop."""
    if nextitem is not None and nextitem.path != item.path:
        gc.collect()
        gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests of this run found out beside pass and fail."""
    print_tables(terminalreporter)


def pytest_xdist_auto_num_workers() -> int:
    """Tell how many processes `-n auto` starts."""
    return workers()
