"""One timer for the heartbeats of all viewers, instead of a task per viewer."""

from __future__ import annotations

import asyncio
from typing import Protocol

TICKS = 15  # per heartbeat interval: the resolution of the idle time
# A page detects a dead connection by its silence (`SILENCE` in static/net/hub.js), so the interval must be short.
PAGE_HEARTBEAT = 5.0  # seconds; `TAILRACE_HEARTBEAT` if that is shorter


class HasHeartbeat(Protocol):
    """A listener of the timer."""

    def tick(self) -> None:
        """Called every `interval / TICKS` seconds."""
        ...


class HeartbeatTimer:
    """Ticks while it has listeners. `interval` is the idle time before a heartbeat, in seconds."""

    def __init__(self, interval: float) -> None:
        self._tick = interval / TICKS
        self._beating: set[HasHeartbeat] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<HeartbeatTimer every={self._tick * TICKS:g}s beating={len(self._beating)}>"

    def add(self, beating: HasHeartbeat) -> None:
        """Add a listener, and start the timer if it is stopped."""
        self._beating.add(beating)
        if self._timer is None:
            self._arm()

    def discard(self, beating: HasHeartbeat) -> None:
        """Remove a listener. Idempotent."""
        self._beating.discard(beating)

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._tick, self._beat)

    def _beat(self) -> None:
        self._timer = None
        for beating in tuple(self._beating):
            beating.tick()
        if self._beating:
            self._arm()
