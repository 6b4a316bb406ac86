"""Whole sessions: exported, imported under new ids, and restored after a delete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec

from app.chat.archive import Archive, ArchivedMessage, ArchivedStream
from app.chat.records import History, Records, SessionInfo, SessionWriter
from app.chat.scoped_ids import scoped
from app.streams.arrivals import Arrivals
from app.streams.sessions import Sessions


class Adoption:
    """Stores an imported session. Its records have new ids already; the session gets one here."""

    def __init__(self, writer: SessionWriter, session_id: str) -> None:
        self._writer = writer
        self._session_id = session_id

    async def add(self, messages: Sequence[ArchivedMessage], streams: Sequence[ArchivedStream]) -> None:
        """Store some records. Each message must come after its parent."""
        await self._writer.add(messages, streams)

    async def finish(self, archive: Archive) -> str:
        """Make the session visible; return its scoped id."""
        await self._writer.finish(msgspec.structs.replace(archive, session_id=self._session_id))
        return self._session_id


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
        prepare: Callable[[str], Awaitable[None]] | None = None,
        own: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._history = history
        self._sessions = sessions
        self._arrivals = arrivals
        self._gate = gate
        self._prepare = prepare  # see `Registry`
        self._own = own
        self.new_id = new_id

    def __repr__(self) -> str:
        return f"<Archives of {self._history!r}>"

    async def export(self, owner: str, session_id: str) -> Archive:
        """Return the whole session, with the text so far of a running answer. Raises `SessionNotFound`."""
        archive = await self._history.archive(owner, session_id)
        return msgspec.structs.replace(archive, messages=self._grown(session_id, archive.messages), keys=[])

    async def records(self, owner: str, session_id: str) -> Records | None:
        """Return what a long session consists of; `None` for one that `export` returns as a whole."""
        return await self._history.records(owner, session_id)

    async def messages(
        self, owner: str, session_id: str, message_ids: Sequence[str]
    ) -> list[ArchivedMessage]:
        """Return the first of these messages, as `export` does. Raises `MessageNotFound`, `SessionNotFound`."""
        return self._grown(session_id, await self._history.archived_messages(owner, session_id, message_ids))

    async def streams(self, owner: str, session_id: str, stream_ids: Sequence[str]) -> list[ArchivedStream]:
        """Return these streams."""
        return await self._history.archived_streams(owner, session_id, stream_ids)

    def _grown(self, session_id: str, messages: list[ArchivedMessage]) -> list[ArchivedMessage]:
        session = self._sessions.find(session_id)
        answer = session.log.answer if session else None
        return [
            msgspec.structs.replace(message, content=answer.content, reasoning=answer.thoughts)
            if answer is not None and message.message_id == answer.message_id
            else message
            for message in messages
        ]

    @asynccontextmanager
    async def adopting(self, owner: str) -> AsyncIterator[Adoption]:
        """Store an imported session piece by piece. Without a `finish` nothing of it is kept. Raises `StorageFull`."""
        session_id = scoped(owner, self.new_id())
        if self._prepare is not None:
            await self._prepare(session_id)
        async with self._history.writing(owner, session_id) as writer:
            yield Adoption(writer, session_id)

    async def restore(self, owner: str, session_id: str) -> SessionInfo:
        """Undo a recent delete, at whichever node that was.

        If a prompt has created another session under that id, the deleted one is restored under a new id.
        Raises `NothingToRestore`.
        """
        await self._history.restorable(owner, session_id)  # first: an id that somebody made up costs no lease
        if self._prepare is not None:
            await self._prepare(session_id)
        async with self._gate(session_id):
            if self._own is not None:
                await self._own(session_id)
            back_as = await self._history.restorable(owner, session_id)
            if self._own is not None and back_as != session_id:
                await self._own(back_as)
            await self._history.undelete(owner, session_id, back_as)
            if back_as == session_id:
                self._arrivals.begin(owner, session_id)
        return await self._history.session(owner, back_as)
