"""The recently deleted sessions of the history in memory. Nothing is left of them after `undo.SECONDS`."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from app.chat import undo
from app.chat.archive import Archive, size
from app.chat.undo import Kept, crowded_out, nothing_to_restore


class _Deleted(NamedTuple):
    archive: Archive
    size: int
    timer: asyncio.TimerHandle


class UndoBuffer:
    """Keeps archives for `undo.SECONDS`, within the bounds of `app.chat.undo`. Synchronous throughout."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Deleted] = {}  # by owner and session id, oldest first

    def __repr__(self) -> str:
        return f"<UndoBuffer sessions={len(self._kept)}>"

    def __len__(self) -> int:
        """Number of sessions that can be restored."""
        return len(self._kept)

    def put(self, owner: str, archive: Archive) -> None:
        """Keep a session, unless it is too large by itself, or for the room that other owners leave."""
        place = (owner, archive.session_id)
        self._drop(place)
        new = Kept(*place, size(archive))
        if new.size > undo.MOST_BYTES:
            return
        gone = crowded_out([Kept(*where, each.size) for where, each in self._kept.items()], new)
        if new in gone:
            return
        for each in gone:
            self._drop((each.owner, each.session_id))
        timer = asyncio.get_running_loop().call_later(undo.SECONDS, self._drop, place)
        self._kept[place] = _Deleted(archive, new.size, timer)

    def check(self, owner: str, session_id: str) -> None:
        """Raise `NothingToRestore` if a session is not kept."""
        if (owner, session_id) not in self._kept:
            raise nothing_to_restore()

    def take(self, owner: str, session_id: str) -> Archive:
        """Remove a session and return it. Raises `NothingToRestore`."""
        self.check(owner, session_id)
        kept = self._kept[owner, session_id]
        self._drop((owner, session_id))
        return kept.archive

    def drop(self, owner: str, session_id: str) -> None:
        """Keep no session of this id any longer."""
        self._drop((owner, session_id))

    def clear(self) -> None:
        """Drop all sessions."""
        for place in tuple(self._kept):
            self._drop(place)

    def _drop(self, place: tuple[str, str]) -> None:
        if (kept := self._kept.pop(place, None)) is not None:
            kept.timer.cancel()
