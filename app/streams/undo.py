"""Recently deleted sessions. They are only in memory, so nothing is left of them after `SECONDS`."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

from app.chat.archive import Archive, size
from app.chat.errors import NothingToRestore

SECONDS = 10.0  # for which a deleted session is kept
MOST = 64  # sessions
MOST_BYTES = 32 * 1024 * 1024  # in total


class _Deleted(NamedTuple):
    archive: Archive
    size: int
    timer: asyncio.TimerHandle


class UndoBuffer:
    """Keeps archives for `SECONDS`, up to `MOST` and `MOST_BYTES` of all owners. Synchronous throughout.

    If there is no room, the oldest session of the owner who takes most is dropped: nobody's undo is lost to a flood.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Deleted] = {}  # by owner and session id, oldest first
        self._size = 0

    def __repr__(self) -> str:
        return f"<UndoBuffer sessions={len(self._kept)} bytes={self._size}>"

    def __len__(self) -> int:
        """Number of sessions that can be restored."""
        return len(self._kept)

    def put(self, owner: str, archive: Archive) -> None:
        """Keep a session. One that is larger than `MOST_BYTES` by itself is not kept."""
        place = (owner, archive.session_id)
        self._drop(place)
        takes = size(archive)
        if takes > MOST_BYTES:
            return
        while self._kept and (len(self._kept) >= MOST or self._size + takes > MOST_BYTES):
            self._drop(self._oldest_of_the_largest())
        timer = asyncio.get_running_loop().call_later(SECONDS, self._drop, place)
        self._kept[place] = _Deleted(archive, takes, timer)
        self._size += takes

    def take(self, owner: str, session_id: str) -> Archive:
        """Remove a session and return it. Raises `NothingToRestore`."""
        kept = self._kept.get((owner, session_id))
        if kept is None:
            raise NothingToRestore(
                f"This chat can't be restored any more. A deleted chat can be restored for {SECONDS:g} s."
            )
        self._drop((owner, session_id))
        return kept.archive

    def clear(self) -> None:
        """Drop all sessions."""
        for place in tuple(self._kept):
            self._drop(place)

    def _oldest_of_the_largest(self) -> tuple[str, str]:
        shares: Counter[str] = Counter()  # by owner: sessions and bytes, each as part of the limit
        for (owner, _), kept in self._kept.items():
            shares[owner] += MOST_BYTES // MOST + kept.size
        largest = max(shares, key=shares.__getitem__)
        return next(place for place in self._kept if place[0] == largest)

    def _drop(self, place: tuple[str, str]) -> None:
        if (kept := self._kept.pop(place, None)) is not None:
            kept.timer.cancel()
            self._size -= kept.size
