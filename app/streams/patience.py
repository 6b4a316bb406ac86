"""A timeout that costs nothing per token: one timer, re-armed only when it finds that something came meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Patience:
    """Calls `expired` once nothing was `fed` for `seconds`. Bound to the running event loop; owner must `stop` it."""

    __slots__ = ("_expired", "_fed", "_handle", "_loop", "_seconds")

    def __init__(self, seconds: float, expired: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self.restart(seconds, expired)

    def restart(self, seconds: float, expired: Callable[[], None]) -> None:
        """Begin anew with another limit, and another thing to call."""
        self.stop()
        self._seconds = seconds
        self._expired = expired
        self._fed = self._loop.time()
        self._handle = self._loop.call_at(self._fed + seconds, self._check)

    def feed(self) -> None:
        """Something came: wait `seconds` from now on."""
        self._fed = self._loop.time()

    def stop(self) -> None:
        """Wait no more. Idempotent."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _check(self) -> None:
        due = self._fed + self._seconds
        if due <= self._loop.time():
            self._handle = None
            self._expired()
        else:
            self._handle = self._loop.call_at(due, self._check)
