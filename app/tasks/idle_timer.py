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

    __slots__ = ("_alive", "_end", "_expired", "_fed", "_handle", "_longest", "_loop", "_most", "_seconds")

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

    def restart(self, seconds: float, expired: Expired, *, most: float = float("inf")) -> None:
        """Start again, with a new limit in seconds and a new callback, which is called after `most` seconds anyway."""
        self.stop()
        self._seconds = seconds
        self._most = most
        self._expired = expired
        self._fed = self._loop.time()
        self._end = self._fed + most
        self._handle = self._loop.call_at(self._fed + min(seconds, most), self._check)

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
        due, limit = min((silent, self._seconds), (quiet, self._longest), (self._end, self._most))
        if due <= self._loop.time():
            self._handle = None
            self._expired(limit)
        else:
            self._handle = self._loop.call_at(due, self._check)
