"""Tells pages that the list of sessions of their owner has changed, whoever changed it.

There is no queue: each owner has a count, and each page looks at it with its pulse. So a hundred changes at once are
one event for a page.
"""

from __future__ import annotations

from collections import Counter


class ListChanges:
    """How often the list of each owner has changed since the server started."""

    def __init__(self) -> None:
        self._changes: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<ListChanges {self._changes.total()}>"

    def changed(self, owner: str) -> None:
        """A session of `owner` was begun, renamed, deleted, brought back or imported."""
        self._changes[owner] += 1

    def count(self, owner: str) -> int:
        """Return a number that is another one after a change."""
        return self._changes[owner]
