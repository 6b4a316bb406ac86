"""The one way to bound a wait here: `within`. A test keeps `asyncio.timeout` and `asyncio.wait_for` out of `app/`.

Both of those end a wait by cancelling the task that waits, and tell their own cancellation from others by counting. On
CPython 3.11.0 to 3.11.2 the count is wrong in a task that was cancelled before: at the bound it gets `CancelledError`
instead of `TimeoutError`. A stream's clean-up runs in such a task, and would count as done. `asyncio.wait` cancels
nothing, and returns at its bound even if what it waits for swallows a cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

GRACE = 0.1  # s for what was cancelled to clean up, before nobody waits for it any more

T = TypeVar("T")

# The loop keeps weak references only, so these are kept until they end.
_left: set[asyncio.Task[Any]] = set()


async def within(seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what `coroutine` returns, or raise what it raises.

    Raises `TimeoutError` once `seconds` have passed. It runs in a task of its own, which is cancelled then, or when the
    caller is, and has `GRACE` seconds to end; after that it is left to itself.
    """
    task = asyncio.get_running_loop().create_task(coroutine, name=f"within {seconds:g} s")
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        if task.done():
            _ended(task)  # the caller may have been cancelled in the same turn of the loop
        else:
            _left.add(task)
            task.add_done_callback(_ended)
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE)


def _ended(task: asyncio.Task[Any]) -> None:
    """Look at how it ended, so that the loop does not report an error that came after the bound."""
    _left.discard(task)
    if not task.cancelled():
        task.exception()
