"""Programs that tests start end with them."""

from __future__ import annotations

import psutil
import pytest

from tests.support import processes
from tests.support.processes import orphan, serving
from tests.support.waiting import gone

MODEL = ["tests.benchmarks.soak.model", "0"]
PARENT = f"""
import asyncio
from tests.support.processes import serving

async def main():
    async with serving({MODEL}) as child:
        print("child", child.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_it_ends_with_a_killed_parent() -> None:
    """After `kill -9` of the parent the child ends too."""
    await gone(await orphan(PARENT))


async def test_a_start_that_is_given_up_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that has not said in time where it serves is gone once its caller knows."""
    monkeypatch.setattr(processes, "START_SECONDS", 0.0)
    before = psutil.Process().children()
    with pytest.raises(TimeoutError):
        async with serving(MODEL):
            pass
    assert psutil.Process().children() == before
