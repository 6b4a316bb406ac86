"""One timer for the heartbeats of all viewers, instead of a task for each."""

from __future__ import annotations

import asyncio
from typing import Protocol

TICKS = 15  # to a heartbeat: how finely silence is measured
# A page tells a dead connection by its silence (`SILENCE` in static/net/hub.js): its reader should not wait for long.
PAGE_HEARTBEAT = 5.0  # seconds; `TAILRACE_HEARTBEAT` if that is shorter


class HasHeartbeat(Protocol):
    """Something that wants to be told of every tick."""

    def tick(self) -> None:
        """A fifteenth of the heartbeat's interval has passed."""
        ...


class HeartbeatTimer:
    """Ticks while anybody listens. `interval` is in seconds, from the last event to the heartbeat."""

    def __init__(self, interval: float) -> None:
        self._tick = interval / TICKS
        self._beating: set[HasHeartbeat] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<HeartbeatTimer every={self._tick * TICKS:g}s beating={len(self._beating)}>"

    def add(self, beating: HasHeartbeat) -> None:
        """Tick for `beating` from now on."""
        self._beating.add(beating)
        if self._timer is None:
            self._arm()

    def discard(self, beating: HasHeartbeat) -> None:
        """Tick no more for `beating`."""
        self._beating.discard(beating)

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._tick, self._beat)

    def _beat(self) -> None:
        self._timer = None
        for beating in tuple(self._beating):
            beating.tick()
        if self._beating:
            self._arm()
