"""A timeout that costs nothing per token: one timer, re-armed only when it finds that something came meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Expired = Callable[[float], None]  # is told how many seconds of waiting were enough


class IdleTimer:
    """Calls `expired` once nothing was `fed` for `seconds`. Bound to the running event loop; owner must `stop` it.

    `alive` returns the loop time of the last sign of life. It puts the end off as food does, but only until nothing was
    fed for `longest` seconds: who is alive has not said anything yet.
    """

    __slots__ = ("_alive", "_expired", "_fed", "_handle", "_longest", "_loop", "_seconds")

    def __init__(
        self,
        seconds: float,
        expired: Expired,
        *,
        alive: Callable[[], float] = lambda: 0.0,
        longest: float = float("inf"),
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._alive = alive
        self._longest = longest
        self.restart(seconds, expired)

    def restart(self, seconds: float, expired: Expired) -> None:
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
        silent = max(self._fed, self._alive()) + self._seconds
        quiet = self._fed + max(self._longest, self._seconds)
        if min(silent, quiet) <= self._loop.time():
            self._handle = None
            self._expired(self._seconds if silent <= quiet else self._longest)
        else:
            self._handle = self._loop.call_at(min(silent, quiet), self._check)
