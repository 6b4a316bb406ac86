"""`first_done`: a wait for futures without the sets and checks of `asyncio.wait`, for what every prompt waits for."""

from __future__ import annotations

import asyncio
from typing import Any


async def first_done(*futures: asyncio.Future[Any], seconds: float | None = None) -> None:
    """Return once one of the futures is done, at once if one is already, or after `seconds`.

    As `asyncio.wait` it neither raises their exceptions nor cancels them, also if the caller is cancelled.
    """
    for future in futures:
        if future.done():
            return
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = None if seconds is None else loop.call_later(seconds, wake)
    for future in futures:
        future.add_done_callback(wake)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for future in futures:
            future.remove_done_callback(wake)
