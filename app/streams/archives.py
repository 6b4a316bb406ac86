"""Whole sessions: exported, imported under new ids, and restored after a delete."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec

from app.chat.archive import Archive, renamed
from app.chat.errors import ArchiveTooLarge, SessionExists
from app.chat.records import History, SessionInfo
from app.streams.arrivals import Arrivals
from app.streams.sessions import Sessions
from app.streams.undo import MOST_BYTES, UndoBuffer


class Archives:
    """Reads and writes whole sessions. `gate` returns the lock under which a session's prompts are admitted."""

    def __init__(
        self,
        *,
        history: History,
        sessions: Sessions,
        arrivals: Arrivals,
        gate: Callable[[str], asyncio.Lock],
        new_id: Callable[[], str],
    ) -> None:
        self._history = history
        self._sessions = sessions
        self._arrivals = arrivals
        self._gate = gate
        self._new_id = new_id
        self._deleted = UndoBuffer()

    def __repr__(self) -> str:
        return f"<Archives {self._deleted!r}>"

    async def export(self, owner: str, session_id: str) -> Archive:
        """Return the whole session, with the text so far of a running answer. Raises `SessionNotFound`."""
        archive = await self._history.archive(owner, session_id)
        session = self._sessions.find(session_id)
        answer = session.log.answer if session else None
        messages = [
            msgspec.structs.replace(message, content=answer.content, reasoning=answer.thoughts)
            if answer is not None and message.message_id == answer.message_id
            else message
            for message in archive.messages
        ]
        return msgspec.structs.replace(archive, messages=messages, keys=[])

    async def adopt(self, owner: str, archive: Archive) -> str:
        """Store an imported session under new ids; return its id. The archive must not have a `flaw`."""
        own = renamed(archive, self._new_id)
        await self._history.restore(owner, own)
        return own.session_id

    async def delete(self, owner: str, session_id: str) -> None:
        """Delete a session from the history. `restore` can undo this for `undo.SECONDS`, unless it is too large."""
        archive = None
        with suppress(ArchiveTooLarge):
            archive = await self._history.archive(owner, session_id, most=MOST_BYTES)
        await self._history.delete(owner, session_id)
        if archive is not None:
            self._deleted.put(owner, archive)

    async def restore(self, owner: str, session_id: str) -> SessionInfo:
        """Undo a recent delete. If the restore fails, it can be retried for another `undo.SECONDS`.

        If a prompt has created another session under that id, the deleted one is restored under a new id.
        Raises `NothingToRestore`.
        """
        async with self._gate(session_id):
            archive = self._deleted.take(owner, session_id)
            try:
                restored_id = await self._bring_back(owner, archive)
            except BaseException:
                self._deleted.put(owner, archive)
                raise
        return await self._history.session(owner, restored_id)

    async def _bring_back(self, owner: str, archive: Archive) -> str:
        try:
            await self._history.restore(owner, archive)
        except SessionExists:
            return await self.adopt(owner, archive)
        self._arrivals.tell(owner, archive.session_id)
        return archive.session_id

    def clear(self) -> None:
        """Forget the deleted sessions for good."""
        self._deleted.clear()
