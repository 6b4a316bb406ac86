"""Log lines that strangers can cause, thinned out: a flood must not fill the disk."""

from __future__ import annotations

import time
from collections.abc import Callable


class Sampler:
    """Allows `burst` lines per `seconds` and counts the others."""

    def __init__(self, burst: int, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._seconds = seconds
        self._now = now
        self._ends = 0.0  # of the current period
        self._left = 0
        self._omitted = 0

    def __repr__(self) -> str:
        return f"<Sampler left={self._left} omitted={self._omitted}>"

    def take(self) -> int | None:
        """Return how many lines were omitted since the last one, or `None` if this one is to be omitted as well."""
        now = self._now()
        if now >= self._ends:
            self._ends, self._left = now + self._seconds, self._burst
        if not self._left:
            self._omitted += 1
            return None
        self._left -= 1
        omitted, self._omitted = self._omitted, 0
        return omitted
