"""`within`, the only way to bound a wait in `app/`. A test forbids `asyncio.timeout` and `asyncio.wait_for` there.

Both end a wait by cancelling the waiting task, and recognise their own cancellation by a count. On CPython 3.11.0 to
3.11.2 that count is wrong in a task that was cancelled before: at the bound it raises `CancelledError` instead of
`TimeoutError`. The clean-up of a stream runs in such a task, and would be taken for complete. `first_done` cancels
nothing, and returns at its bound even if the awaited task suppresses a cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from app.tasks.waiting import first_done

GRACE = 0.1  # s, how long to wait for a cancelled task to clean up

T = TypeVar("T")

# Abandoned tasks. The loop holds only weak references to tasks, so these are referenced here until they end.
_left: set[asyncio.Task[Any]] = set()


async def within(seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of `coroutine`, or raise its exception; raise `TimeoutError` after `seconds`.

    The coroutine runs in its own task. At the bound, or if the caller is cancelled, the task is cancelled and has
    `GRACE` seconds to end; after that it is abandoned.
    """
    task = asyncio.get_running_loop().create_task(coroutine, name=f"within {seconds:g} s")
    try:
        await first_done(task, seconds=seconds)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        if task.done():
            _ended(task)  # the caller may have been cancelled in the same iteration of the loop
        else:
            _left.add(task)
            task.add_done_callback(_ended)
            task.cancel()
            await first_done(task, seconds=GRACE)


def _ended(task: asyncio.Task[Any]) -> None:
    """Retrieve the task's exception, so that the loop does not report an error that came after the bound."""
    _left.discard(task)
    if not task.cancelled():
        task.exception()
