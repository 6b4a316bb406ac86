"""A text that grows by pieces."""

from __future__ import annotations

from array import array
from itertools import accumulate

GROUP = 32  # pieces that are joined at a time, at least
SHARE = 8  # at most one piece in `SHARE` is kept by itself in a long text, so that joining takes linear time


class GrowingText:
    """A text and the ends of its pieces. A joined piece takes 4 bytes beside its characters, a single one over 60."""

    __slots__ = ("_ends", "_joined", "_pieces", "_room")

    def __init__(self, pieces: list[str] | None = None) -> None:
        self._ends: array[int] | None = None  # of the joined pieces, in characters
        self._joined = ""
        self._pieces: list[str] = []  # after the joined ones
        self._room = GROUP
        if pieces:
            self.add(pieces)

    def __len__(self) -> int:
        """The number of pieces."""
        return len(self._pieces) + (len(self._ends) if self._ends is not None else 0)

    def __str__(self) -> str:
        return self.since(0)

    def __repr__(self) -> str:
        return f"<GrowingText pieces={len(self)}>"

    def add(self, pieces: list[str]) -> None:
        """Append pieces. Hot path: called for every token."""
        self._pieces += pieces
        if len(self._pieces) >= self._room:
            self.join()

    def join(self) -> None:
        """Join all pieces. Happens by itself as the text grows."""
        if not self._pieces:
            return
        if self._ends is None:
            self._ends = array("I")
        sizes = accumulate(map(len, self._pieces), initial=len(self._joined))
        next(sizes)
        self._ends.extend(sizes)
        self._joined = "".join([self._joined, *self._pieces])
        self._pieces = []
        self._room = max(GROUP, len(self._ends) // SHARE)

    def since(self, count: int) -> str:
        """Return the text after the first `count` pieces."""
        return self.between(count, len(self))

    def between(self, begin: int, end: int) -> str:
        """Return the text of the pieces from number `begin`, counted from 0, to before `end`."""
        ends = self._ends
        if ends is None or begin >= len(ends):
            joined = len(ends) if ends is not None else 0
            return "".join(self._pieces[begin - joined : end - joined])
        first = ends[begin - 1] if begin else 0
        if end <= len(ends):
            return self._joined[first : ends[end - 1]] if end > begin else ""
        return "".join([self._joined[first:], *self._pieces[: end - len(ends)]])

    def pieces(self, begin: int, end: int) -> list[str]:
        """Return the pieces from number `begin`, counted from 0, to before `end`."""
        return [self.between(number, number + 1) for number in range(begin, end)]
