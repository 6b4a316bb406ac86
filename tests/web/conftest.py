"""Fixtures of the tests of the protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.streams import trash
from tests.web.stage import Stage, on_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A server whose default model is a puppet."""
    async with on_stage(tmp_path) as stage:
        yield stage


@pytest.fixture
def no_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delete is final at once, and the session's name is free."""
    monkeypatch.setattr(trash, "SECONDS", 0)
