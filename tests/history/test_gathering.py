"""Reads that gather: nobody waits for a lane that has come to its end."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from app.history.gathering import LANES, Reads


class Gated:
    """A database that answers when it may, all who ask in the same moment."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = asyncio.Event()

    async def read(self, work: Any) -> Any:
        """See `Database`."""
        self.asked += 1
        await self.open.wait()
        return work(None)


async def test_a_read_right_after_the_last_one_is_done() -> None:
    """Whoever reads again as soon as all lanes are done gets a new one."""
    database = Gated()
    async with asyncio.timeout(10), Reads.gathering(cast("Any", database)) as reads:

        async def twice() -> str:
            await reads.read("first", lambda _: None)
            return await reads.read("second", lambda _: "found")

        async def begun(number: int) -> None:
            while database.asked < number:
                await asyncio.sleep(0)

        reader = asyncio.create_task(twice())
        await begun(1)
        others = [asyncio.create_task(reads.read(number, lambda _: None)) for number in range(1, LANES)]
        await begun(LANES)
        database.open.set()
        assert await reader == "found"
        await asyncio.gather(*others)
