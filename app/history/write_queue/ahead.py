"""Conversations that were read by the transaction that admitted a prompt, see `statements.ahead`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.chat.records import Message
from app.history.statements.ahead import Ahead
from app.history.write_queue.changes import Change, session_of

MOST_KEPT = 64  # sessions; nearly always a conversation is taken a moment later


class ReadAhead:
    """Conversations as they are on disk. No method awaits."""

    def __init__(self) -> None:
        self._found: dict[str, Ahead] = {}  # by session, the oldest first

    def __repr__(self) -> str:
        return f"<ReadAhead sessions={len(self._found)}>"

    def forget(self, changes: Sequence[Change]) -> None:
        """Forget what these changes are about. Call it before they are written."""
        for change in changes if self._found else ():
            session_id = session_of(change)
            if session_id is None:
                self._found.clear()
                return
            self._found.pop(session_id, None)

    def keep(self, found: Mapping[str, Ahead]) -> None:
        """Keep what a transaction read, once it is committed."""
        self._found.update(found)
        while len(self._found) > MOST_KEPT:
            del self._found[next(iter(self._found))]

    def take(self, owner: str, session_id: str) -> list[Message] | None:
        """Return the messages of a session, for the caller to change; `None` if they are not known, or taken."""
        found = self._found.get(session_id)
        if found is None or found.owner != owner:
            return None
        del self._found[session_id]
        return found.messages
