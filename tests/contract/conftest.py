"""What the contracts are tested against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from app.chat.records import History
from app.history.opening import MEMORY, opened


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
async def history(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[History]:
    """An empty history of each kind."""
    url: str | None = MEMORY
    if request.param == "sqlite":
        url = None
    elif request.param == "postgresql":
        url = await request.getfixturevalue("postgres").database()
    async with opened(url, tmp_path, logger=structlog.get_logger()) as history:
        yield history
