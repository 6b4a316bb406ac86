"""An event with one waiter."""

from __future__ import annotations

import asyncio


class Wake:
    """Like `asyncio.Event`, for one waiter at a time: without its queue of waiters, which takes 600 bytes."""

    __slots__ = ("_is_set", "_waiter")

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Wake {'set' if self._is_set else 'clear'}>"

    def set(self) -> None:
        """Wake the waiter, now or when it waits."""
        self._is_set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Let the next `wait` wait."""
        self._is_set = False

    async def wait(self) -> None:
        """Return once `set` was called since the last `clear`."""
        if self._is_set:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
