"""The lane of searches: a few at a time, fair between owners, apart from all other reads."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.chat.errors import SearchBusy

LANES = 2  # searches at a time
MOST_WAITING = 8  # of one owner; a page aborts its last search when it begins another
WAIT = 5.0  # seconds that a search waits for its turn, at most


class SearchLane:
    """Gives turns round-robin: each owner gets one per round, however many searches it has."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = (
            OrderedDict()
        )  # by owner; the first is next
        self._held: Counter[str] = Counter()  # searches by owner, waiting or running
        self._running = 0

    @property
    def is_idle(self) -> bool:
        """Whether no search runs or waits."""
        return not (self._running or self._held)

    def __repr__(self) -> str:
        return f"<SearchLane running={self._running} waiting={self._held.total() - self._running}>"

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it for the duration of the block. Raises `SearchBusy`."""
        if self._held[owner] > MOST_WAITING:
            raise SearchBusy("Too many searches are running. Try again in a moment.")
        self._held[owner] += 1
        try:
            await self._take(owner)
            try:
                yield
            finally:
                self._running -= 1
                self._pass_on()
        finally:
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]

    async def _take(self, owner: str) -> None:
        if self._running < LANES:
            self._running += 1
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(mine)
        try:
            await asyncio.wait({mine}, timeout=WAIT)
        except asyncio.CancelledError:
            self._leave(owner, mine)
            raise
        if not mine.done():
            self._leave(owner, mine)
            raise SearchBusy("Too many searches are running. Try again in a moment.")

    def _leave(self, owner: str, mine: asyncio.Future[None]) -> None:
        """Leave the line. A turn that came at the last moment goes to the next one."""
        if mine.done():
            self._running -= 1
            self._pass_on()
            return
        line = self._waiting[owner]
        line.remove(mine)
        if not line:
            del self._waiting[owner]

    def _pass_on(self) -> None:
        if not self._waiting or self._running >= LANES:
            return
        owner, line = next(iter(self._waiting.items()))
        self._running += 1
        line.popleft().set_result(None)
        if line:
            self._waiting.move_to_end(owner)
        else:
            del self._waiting[owner]
