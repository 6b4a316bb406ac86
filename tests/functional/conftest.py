"""Fixtures of the functional tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from tests.functional import chains
from tests.functional.chains import Chain, KeptModel
from tests.functional.loglines import LogFile, logging_to


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogFile]:
    """The log of the server, which has to be started after it."""
    with logging_to(tmp_path / "system.log") as log:
        yield log


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncIterator[KeptModel]:
    """The embedded model. It starts with its first prompt."""
    model = KeptModel(logger=structlog.get_logger())
    yield model
    await model.end()


@pytest_asyncio.fixture(params=["ollama", "embedded"], loop_scope="module")
async def chain(
    request: pytest.FixtureRequest, tmp_path: Path, log: LogFile, model: KeptModel
) -> AsyncIterator[Chain]:
    """A server with the Ollama double, and one with the real model."""
    async with (
        chains.ollama(tmp_path) if request.param == "ollama" else chains.embedded(tmp_path, model)
    ) as chain:
        yield chain
