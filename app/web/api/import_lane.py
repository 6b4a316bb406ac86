"""How many files are imported at a time: each is read no faster than it is stored, and the others wait unread."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.web.problems import ProblemError

AT_ONCE = 2  # imports of the server
EACH = 1  # of one owner
MOST_WAITING = 16  # of the server
WAIT = 4.0  # seconds for the others; a body that is not read for longer counts as slow
RETRY_AFTER = "5"  # seconds


class ImportLane:
    """Turns in the order of arrival, but an owner who has one lets others pass."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()  # by owner
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"<ImportLane running={self._running.total()} waiting={len(self._waiting)}>"

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it for the duration of the block. Raises a 429."""
        await self._take(owner)
        try:
            yield
        finally:
            self._leave(owner)

    async def _take(self, owner: str) -> None:
        if self._is_free(owner):
            self._running[owner] += 1
            return
        if len(self._waiting) >= MOST_WAITING:
            raise _busy()
        mine = asyncio.get_running_loop().create_future()
        entry = (owner, mine)
        self._waiting.append(entry)
        try:
            await asyncio.wait({mine}, timeout=WAIT)
        except asyncio.CancelledError:
            if mine.done():
                self._leave(owner)
            raise
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
        if not mine.done():
            raise _busy()

    def _is_free(self, owner: str) -> bool:
        return self._running.total() < AT_ONCE and self._running[owner] < EACH

    def _leave(self, owner: str) -> None:
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
        for entry in tuple(self._waiting):
            next_owner, turn = entry
            if self._is_free(next_owner):
                self._running[next_owner] += 1
                self._waiting.remove(entry)
                turn.set_result(None)


def _busy() -> ProblemError:
    return ProblemError(
        429,
        "too_many_imports",
        "Other files are being imported. Try again in a moment.",
        headers={"Retry-After": RETRY_AFTER},
    )
