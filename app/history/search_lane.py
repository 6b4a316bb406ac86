"""The lanes of searches and of long reads: a few at a time, fair between owners, apart from all other reads."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.chat.errors import Refused, SearchBusy
from app.chat.quotas import is_limited

LANES = 2  # searches at a time
EACH = LANES - 1  # of one owner, so that another one's need not wait; `local` has the server to themselves
MOST_WAITING = 8  # of one owner; a page aborts its last search when it begins another
WAIT = 5.0  # seconds that a search waits for its turn, at most


def _too_many() -> Refused:
    return SearchBusy("Too many searches are running. Try again in a moment.")


class SearchLane:
    """Gives turns round-robin: each owner gets one per round, however many searches it has.

    Of one owner `most_waiting` wait, each up to `wait` seconds. Beyond either, `busy` makes the error that is raised.
    """

    def __init__(
        self,
        *,
        most_waiting: int = MOST_WAITING,
        wait: float = WAIT,
        busy: Callable[[], Refused] = _too_many,
    ) -> None:
        self._most_waiting, self._wait, self._busy = most_waiting, wait, busy
        # By owner; the first is next, unless it runs as many as it may.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._held: Counter[str] = Counter()  # searches by owner, waiting or running
        self._running: Counter[str] = Counter()  # by owner

    @property
    def is_idle(self) -> bool:
        """Whether no search runs or waits."""
        return not (self._running or self._held)

    def __repr__(self) -> str:
        running = self._running.total()
        return f"<SearchLane running={running} waiting={self._held.total() - running}>"

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it for the duration of the block. Raises `SearchBusy`, or what `busy` makes."""
        if self._held[owner] - self._running[owner] >= self._most_waiting:
            raise self._busy()
        self._held[owner] += 1
        try:
            await self._take(owner)
            try:
                yield
            finally:
                self._give_back(owner)
        finally:
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]

    def _may_run(self, owner: str) -> bool:
        each = EACH if is_limited(owner) else LANES
        return self._running.total() < LANES and self._running[owner] < each

    async def _take(self, owner: str) -> None:
        if self._may_run(owner):
            self._running[owner] += 1
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(mine)
        try:
            await asyncio.wait({mine}, timeout=self._wait)
        except asyncio.CancelledError:
            self._leave(owner, mine)
            raise
        if not mine.done():
            self._leave(owner, mine)
            raise self._busy()

    def _leave(self, owner: str, mine: asyncio.Future[None]) -> None:
        """Leave the line. A turn that came at the last moment goes to the next one."""
        if mine.done():
            self._give_back(owner)
            return
        line = self._waiting[owner]
        line.remove(mine)
        if not line:
            del self._waiting[owner]

    def _give_back(self, owner: str) -> None:
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
        self._pass_on()

    def _pass_on(self) -> None:
        owner = next((each for each in self._waiting if self._may_run(each)), None)
        if owner is None:
            return
        line = self._waiting[owner]
        self._running[owner] += 1
        line.popleft().set_result(None)
        if line:
            self._waiting.move_to_end(owner)
        else:
            del self._waiting[owner]
