"""Lets pages detect that their owner's session list has changed.

There is no queue: each owner has a counter, and each page polls it on every tick of the heartbeat timer. A hundred
changes between two ticks are one event for a page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class ListChanges:
    """Counts the changes to each owner's session list since the server started."""

    def __init__(self) -> None:
        self._changes: Counter[str] = Counter()
        self.tell: Callable[[str], None] = lambda _owner: None  # the other nodes of a cluster

    def __repr__(self) -> str:
        return f"<ListChanges {self._changes.total()}>"

    def changed(self, owner: str) -> None:
        """Record that a session of `owner` was created, renamed, deleted, restored or imported."""
        self._changes[owner] += 1
        self.tell(owner)

    def heard(self, owner: str) -> None:
        """Record a change that another node made."""
        self._changes[owner] += 1

    def count(self, owner: str) -> int:
        """Return the number of changes so far."""
        return self._changes[owner]
