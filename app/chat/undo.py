"""The bounds of the undo of a deletion, the same in each history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from app.chat.errors import NothingToRestore

SECONDS = 60.0  # for which a deleted session is kept; longer than a page offers its undo, see `toast.js`
MOST = 64  # sessions of all owners
MOST_BYTES = 32 * 1024 * 1024  # of all owners


class Kept(NamedTuple):
    """A deleted session that can be restored."""

    owner: str
    session_id: str
    size: int  # bytes


def crowded_out(kept: Iterable[Kept], new: Kept) -> list[Kept]:
    """Return which of these sessions, oldest first, give way to a new one; or the new one alone, if it is not kept.

    The oldest of the owner who takes most goes first: nobody's undo is lost to a flood, or to one large session.
    """
    left = [*kept, new]
    gone: list[Kept] = []
    total = sum(each.size for each in left)
    while len(left) > MOST or total > MOST_BYTES:
        shares: Counter[str] = Counter()  # by owner: sessions and bytes, each as part of the limit
        for each in left:
            shares[each.owner] += MOST_BYTES // MOST + each.size
        largest = max(shares, key=shares.__getitem__)
        first = next(each for each in left if each.owner == largest)
        if first is new:
            return [new]
        left.remove(first)
        gone.append(first)
        total -= first.size
    return gone


def nothing_to_restore() -> NothingToRestore:
    """Return the error for a session that is not kept."""
    return NothingToRestore(
        f"This chat can't be restored any more. A deleted chat can be restored for {SECONDS:g} s."
    )
