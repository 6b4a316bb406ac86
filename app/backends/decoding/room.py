"""The memory that the unfinished lines of one model server's answers share."""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet

FREE = 64 * 1024  # bytes that each answer may hold in any case
STEP = 64 * 1024  # bytes that are granted at a time
SHARED = 8 * 1024 * 1024  # bytes that all answers of a server may hold beyond that
MOST_HELD = 4 * 1024 * 1024  # bytes that one answer may hold; a longer value is not decoded either


class Holder(Protocol):
    """Something that holds part of an answer. `granted` is how many bytes it may hold now."""

    granted: int


class Room:
    """Grants memory to the answers of one server, so that a hostile one takes none from the others.

    What is granted to an answer returns when its decoder goes.
    """

    def __init__(self, size: int = SHARED) -> None:
        self._size = size
        self._holders: WeakSet[Holder] = WeakSet()

    def __repr__(self) -> str:
        return f"<Room used={self._used()} of={self._size}>"

    def grants(self, holder: Holder, held: int) -> bool:
        """Return whether `holder` may hold this many bytes: raises its `granted`, or takes it, as its answer ends."""
        if held <= holder.granted:
            return True
        if held <= MOST_HELD:
            holder.granted = held + STEP
            self._holders.add(holder)
            if self._used() <= self._size:
                return True
        holder.granted = FREE
        return False

    def _used(self) -> int:
        return sum(max(0, holder.granted - FREE) for holder in self._holders)
