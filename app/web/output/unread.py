"""How many bytes of responses an owner's clients have not taken yet. Beyond a bound no more responses are made.

A large response waits in memory as long as its client takes to read it, and a client may take hours. So the bytes are
counted by owner, and somebody who has many of them gets the next response once some have been read. Event streams are
not counted here: see `OpenStreams`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

MOST_BYTES = (
    24 * 1024 * 1024
)  # of one owner, before another response is made; it may be larger than that itself


class Unread:
    """The unread bytes by owner. `on_room`, if set, is called with an owner who is below the bound again."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._bytes: Counter[str] = Counter()
        self._moved: dict[str, float] = {}
        self.on_room: Callable[[str], None] | None = None

    def __repr__(self) -> str:
        return f"<Unread owners={len(self._bytes)} bytes={self._bytes.total()}>"

    def of(self, owner: str) -> int:
        """Return how many bytes of this owner wait."""
        return self._bytes.get(owner, 0)

    def lets(self, owner: str) -> bool:
        """Return whether another response may be made for this owner."""
        return self.of(owner) < self._most

    def moved(self, owner: str) -> float:
        """Return when a client of this owner last took something, in seconds of `time.monotonic`, as loops have it."""
        return self._moved.get(owner, 0.0)

    def move(self, owner: str) -> None:
        """A client of this owner, of whom bytes wait, has taken something now."""
        self._moved[owner] = time.monotonic()

    def add(self, owner: str, size: int) -> None:
        """Count bytes that wait from now on; with a negative `size` they do no longer."""
        before = self.lets(owner)
        self._bytes[owner] += size
        if not self._bytes[owner]:
            del self._bytes[owner]
            self._moved.pop(owner, None)
        if self.on_room is not None and self.lets(owner) and not before:
            self.on_room(owner)
