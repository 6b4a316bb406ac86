"""Fixtures of the tests of the protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web.stage import Stage, on_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A server whose default model is a puppet."""
    async with on_stage(tmp_path) as stage:
        yield stage
