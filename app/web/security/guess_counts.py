"""How many wrong tokens there were in the last minute: of each client, and of all clients together."""

from __future__ import annotations

import time
from collections.abc import Iterator

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

EACH = parse("10/minute")  # of one client
ALL = parse("100/minute")  # of all clients together
TOGETHER = "all"  # the key of that count; no client's address


def counted(client: str) -> Iterator[tuple[RateLimitItem, str]]:
    """Return the limits that a wrong token of a client counts for, each with its key."""
    yield EACH, client
    yield ALL, TOGETHER


class GuessCounts:
    """Counts in this process. A count that is full stays closed for the rest of its minute, without being asked again.

    So a flood costs one look into a dictionary, and adds at most as many keys a minute as `ALL` allows.
    """

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self._limiter = FixedWindowRateLimiter(storage or MemoryStorage())
        self._closed: dict[str, float] = {}  # key to the time of its opening, on the monotonic clock

    def __repr__(self) -> str:
        return f"<GuessCounts closed={len(self._closed)}>"

    def add(self, client: str) -> float | None:
        """Count a wrong token of a client. Return `None`, or the seconds until the next one is counted."""
        for key in (TOGETHER, client):
            if (wait := self._closed.get(key, 0.0) - time.monotonic()) > 0:
                return wait
        for limit, key in counted(client):
            if not self._limiter.hit(limit, key):
                return self.close(limit, key, self._limiter.get_window_stats(limit, key).reset_time)
        return None

    def close(self, limit: RateLimitItem, key: str, until: float) -> float:
        """Close a count until a time of the system's clock. Return the seconds until then, at most its minute."""
        wait = min(max(until - time.time(), 1.0), float(limit.get_expiry()))
        now = time.monotonic()
        self._closed = {closed: end for closed, end in self._closed.items() if end > now}
        self._closed[key] = now + wait
        return wait
