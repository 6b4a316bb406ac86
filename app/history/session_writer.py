"""Stores and deletes whole sessions piece by piece, so that prompts of others are written in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from app.chat.archive import Archive, ArchivedKey, ArchivedMessage, ArchivedStream, records_size
from app.chat.errors import HistoryUnavailable, LeaseLost
from app.chat.ports import Logger
from app.chat.quotas import StorageLimits
from app.history.database import Database
from app.history.statements.read import read_owner
from app.history.statements.tables import HIDDEN
from app.history.write_queue.changes import Begin, Fill, Hide, Prune, Reveal
from app.history.write_queue.writer import Writer
from app.tasks.waiting import first_done

RECORDS = 200  # per transaction
BYTES = 1024 * 1024  # per transaction, unless one message is larger
STEPS = 8  # of a delete, between two looks at what is left
RETRY_SECONDS = 5.0  # until the rest of a session is deleted, after the database was away


class Writing:
    """See `SessionWriter`, whose implementation this is."""

    def __init__(self, writer: Writer, owner: str, session_id: str, limits: StorageLimits | None) -> None:
        self._writer = writer
        self._limits = limits
        self._owner = owner
        self._session_id = session_id
        self.is_finished = False

    async def add(
        self,
        messages: Sequence[ArchivedMessage],
        streams: Sequence[ArchivedStream] = (),
        keys: Sequence[ArchivedKey] = (),
    ) -> None:
        """See `SessionWriter`."""
        for some in _groups(messages):
            await self._writer.now(Fill(self._session_id, some, ()))
        for begin in range(0, len(streams), RECORDS):
            await self._writer.now(Fill(self._session_id, (), streams[begin : begin + RECORDS]))
        for begin in range(0, len(keys), RECORDS):
            await self._writer.now(Fill(self._session_id, (), (), keys[begin : begin + RECORDS]))

    async def finish(self, archive: Archive) -> None:
        """See `SessionWriter`."""
        await self._writer.now(Reveal(self._owner, archive, self._limits))
        self.is_finished = True


def _groups(messages: Sequence[ArchivedMessage]) -> list[list[ArchivedMessage]]:
    groups: list[list[ArchivedMessage]] = []
    size = BYTES
    for message in messages:
        size += records_size((message,), ())
        if size > BYTES or len(groups[-1]) == RECORDS:
            groups.append([])
            size = records_size((message,), ())
        groups[-1].append(message)
    return groups


class WholeSessions:
    """Stores sessions, and deletes them in tasks of its own. Created by the context manager `working`."""

    def __init__(self, database: Database, writer: Writer, logger: Logger) -> None:
        self._database = database
        self._writer = writer
        self._logger = logger
        self._pruning: dict[str, asyncio.Task[None]] = {}
        self._open: set[str] = set()  # sessions that are being stored, or hidden to be deleted

    def __repr__(self) -> str:
        return f"<WholeSessions pruning={len(self._pruning)}>"

    @classmethod
    @asynccontextmanager
    async def working(
        cls, database: Database, writer: Writer, logger: Logger
    ) -> AsyncIterator[WholeSessions]:
        """Work for the duration of the block. What an earlier run left hidden is deleted first, beside everything."""
        sessions = cls(database, writer, logger)
        for session_id in database.left:
            sessions._prune(session_id)
        try:
            yield sessions
        finally:
            left = list(sessions._pruning.values())
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)

    def works_on(self, session_id: str) -> bool:
        """Return whether a session is being stored or deleted piece by piece."""
        return session_id in self._open or session_id in self._pruning

    @contextmanager
    def _opened(self, session_id: str) -> Iterator[None]:
        self._open.add(session_id)
        try:
            yield
        finally:
            self._open.discard(session_id)

    @asynccontextmanager
    async def writing(
        self, owner: str, session_id: str, limits: StorageLimits | None
    ) -> AsyncIterator[Writing]:
        """See `History.writing`. `limits` are the owner's."""
        with self._opened(session_id):
            await self._writer.now(Begin(session_id, owner, limits))
            writing = Writing(self._writer, owner, session_id, limits)
            try:
                yield writing
            finally:
                if not writing.is_finished:
                    self._prune(session_id)

    async def delete(self, owner: str, session_id: str) -> None:
        """Take a session from its owner, then delete it. Raises `SessionNotFound`, `HistoryUnavailable`.

        If the caller is cancelled, or the database is away for a while, it is deleted all the same.
        """
        with self._opened(session_id):
            await self._writer.now(Hide(owner, session_id))
            pruning = self._prune(session_id)
        await asyncio.wait({pruning})

    def go_on_deleting(self, session_id: str) -> None:
        """Delete the rest of a hidden session in the background."""
        self._prune(session_id)

    async def gone(self, session_id: str, seconds: float) -> bool:
        """Delete the rest of a hidden session; return whether that was done within `seconds`."""
        if session_id in self._open:
            return False  # it is being stored, or about to be hidden
        task = self._prune(session_id)
        await first_done(task, seconds=seconds)
        return task.done()

    def _prune(self, session_id: str) -> asyncio.Task[None]:
        task = self._pruning.get(session_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._delete(session_id), name="prune session")
            self._pruning[session_id] = task
            task.add_done_callback(lambda done: self._done(session_id, done))
        return task

    def _done(self, session_id: str, task: asyncio.Task[None]) -> None:
        del self._pruning[session_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logger.error("history_prune_failed", exc_info=error)

    async def _delete(self, session_id: str) -> None:
        while True:
            try:
                for _ in range(STEPS):
                    await self._writer.now(Prune(session_id))
                if await self._database.read(lambda found: read_owner(found, session_id)) != HIDDEN:
                    return
            except LeaseLost:
                return  # the new owner deletes it, see `SqlHistory.interrupt`
            except HistoryUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
