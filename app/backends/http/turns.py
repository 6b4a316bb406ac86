"""Whose turn it is: answers of one server that arrive faster than they can be decoded share the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter

SECONDS = 0.004  # of each iteration of the loop that such answers may take together


class Turns:
    """A queue of those who have a slice to decode. Each iteration of the loop runs some of them, in order.

    Without it, forty floods would each have their slice in the same iteration, and requests wait for all of them.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None] | asyncio.Future[None]] = deque()
        self._is_due = False

    def __repr__(self) -> str:
        return f"<Turns waiting={len(self._waiting)}>"

    def add(self, call: Callable[[], None]) -> None:
        """Call `call` once it is its turn: not before the next iteration."""
        self._waiting.append(call)
        self._schedule()

    async def wait(self) -> None:
        """Return once it is the caller's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._schedule()
        await turn

    def _schedule(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._is_due = False
        until = perf_counter() + SECONDS
        while self._waiting:
            turn = self._waiting.popleft()
            if isinstance(turn, asyncio.Future):
                if not turn.done():  # else its waiter was cancelled
                    turn.set_result(None)
                    break  # the waiter runs in the next iteration
            else:
                turn()
            if perf_counter() >= until:
                break
        if self._waiting:
            self._schedule()
