"""How many event streams each owner has open. Each holds a connection, so one owner could take all there are.

Connections are counted by address before anybody is let in, but not those of a proxy, who sends everybody's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.chat.errors import OwnerEventStreams
from app.chat.quotas import is_limited

RETRY = 10.0  # seconds: when one will be closed is not known


class OpenStreams:
    """The open event streams by owner; `most` are allowed to each, except to those who have no limits."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<OpenStreams {self.total} owners={len(self._open)}>"

    @property
    def total(self) -> int:
        """The number of open event streams of all owners."""
        return self._open.total()

    def check(self, owner: str) -> None:
        """Raise `OwnerEventStreams` if the owner may not open another one now."""
        if is_limited(owner) and self._open[owner] >= self._most:
            raise OwnerEventStreams(
                f"You have too many event streams open; the limit is {self._most}. "
                "Close other tabs or programs, then try again.",
                RETRY,
            )

    @contextmanager
    def counted(self, owner: str) -> Iterator[None]:
        """Count one of the owner's for the duration of the block."""
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]
