"""One timer for the heartbeats of all viewers, instead of a task per viewer."""

from __future__ import annotations

import asyncio
from typing import Protocol

TICKS = 15  # per heartbeat interval: the resolution of the idle time
LOOK = 3  # ticks, at most, from one look at a viewer's connection to the next
# A page detects a dead connection by its silence (`SILENCE` in static/net/hub.js), so the interval must be short.
PAGE_HEARTBEAT = 5.0  # seconds; `TAILRACE_HEARTBEAT` if that is shorter


class HasHeartbeat(Protocol):
    """A listener of the timer."""

    def beat(self) -> int:
        """Called when it is due. Return in how many ticks it is due again, from 1 to `LOOK`."""
        ...


class HeartbeatTimer:
    """Calls each listener when it is due. `interval` is the idle time before a heartbeat, in seconds.

    A tick looks only at the listeners that are due. The timer stops while it has no listeners.
    """

    def __init__(self, interval: float) -> None:
        self.now = 0  # ticks so far
        self._tick = interval / TICKS
        self._wheel: list[set[HasHeartbeat]] = [set() for _ in range(LOOK + 1)]  # by the tick when due
        self._due: dict[HasHeartbeat, int] = {}  # the position of each listener in the wheel
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<HeartbeatTimer every={self._tick * TICKS:g}s beating={self.listeners}>"

    @property
    def listeners(self) -> int:
        """Number of listeners."""
        return len(self._due)

    def add(self, beating: HasHeartbeat) -> None:
        """Add a listener, and start the timer if it is stopped."""
        self._put(beating, LOOK)
        if self._timer is None:
            self._arm()

    def discard(self, beating: HasHeartbeat) -> None:
        """Remove a listener. Idempotent."""
        place = self._due.pop(beating, None)
        if place is not None:
            self._wheel[place].discard(beating)

    def _put(self, beating: HasHeartbeat, ticks: int) -> None:
        place = self._due[beating] = (self.now + ticks) % len(self._wheel)
        self._wheel[place].add(beating)

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._tick, self._beat)

    def _beat(self) -> None:
        self._timer = None
        self.now += 1
        place = self.now % len(self._wheel)
        due, self._wheel[place] = self._wheel[place], set()
        for beating in due:
            if beating in self._due:  # it may leave while others are called
                self._put(beating, beating.beat())
        if self._due:
            self._arm()
