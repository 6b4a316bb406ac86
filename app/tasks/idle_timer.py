"""An idle timeout that is cheap per token: one timer, re-armed only when it fires and finds recent activity."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Expired = Callable[[float], None]  # gets the limit that was exceeded, in seconds


class IdleTimer:
    """Calls `expired` after `seconds` without a `feed`. Bound to the running event loop; the owner must `stop` it.

    `alive` returns the loop time of the last keep-alive. A keep-alive extends the wait like a `feed`, but only up to
    `longest` seconds since the last `feed`, because it carries no data.
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
        """Start again, with a new limit in seconds and a new callback."""
        self.stop()
        self._seconds = seconds
        self._expired = expired
        self._fed = self._loop.time()
        self._handle = self._loop.call_at(self._fed + seconds, self._check)

    def feed(self) -> None:
        """Record activity: the timeout starts again now."""
        self._fed = self._loop.time()

    def stop(self) -> None:
        """Cancel the timer. Idempotent."""
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
