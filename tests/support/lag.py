"""How late a busy machine is, for bounds that have to be tight on a quiet one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LAGS = 10  # how many times the lag of the test's own loop a server may be late
TICK = 0.05  # s


@asynccontextmanager
async def lag() -> AsyncIterator[list[float]]:
    """Measure by how many seconds this loop is late at worst: so busy is the machine."""
    worst = [0.0]

    async def measure() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(TICK)
            worst[0] = max(worst[0], time.monotonic() - began - TICK)

    task = asyncio.create_task(measure())
    try:
        yield worst
    finally:
        task.cancel()
        await asyncio.wait({task})
