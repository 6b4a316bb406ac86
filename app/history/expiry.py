"""Deletes for good what was deleted and not restored in time, whichever server has deleted it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.chat.errors import HistoryUnavailable, LeaseLost
from app.chat.ports import Logger
from app.history.database import Database
from app.history.fence import Fence
from app.history.session_writer import WholeSessions
from app.history.statements.deleted import read_times_left
from app.history.statements.read import read_owner
from app.history.statements.tables import HIDDEN
from app.history.write_queue.changes import Expire
from app.history.write_queue.writer import Writer
from app.tasks.wake import Wake

LOOK_SECONDS = (
    10.0  # between two looks of a node, at what others have left, and until what failed is tried again
)
# The same without other nodes: a deletion may have reached the disk although its caller was told that it failed.
ALONE_SECONDS = 60.0
SOON = 0.05  # s, at least between two looks


class Expiry:
    """Runs in its own task, which the context manager `working` owns.

    A node leaves sessions that another one owns to that: it deletes them, too, or whoever owns them next.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        whole: WholeSessions,
        logger: Logger,
        fence: Fence | None = None,
    ) -> None:
        self._database = database
        self._writer = writer
        self._whole = whole
        self._logger = logger
        self._fence = fence  # in a cluster
        self._longest = LOOK_SECONDS if fence is not None else ALONE_SECONDS
        self._wake = Wake()

    def __repr__(self) -> str:
        return f"<Expiry {self._wake!r}>"

    @classmethod
    @asynccontextmanager
    async def working(
        cls,
        database: Database,
        writer: Writer,
        whole: WholeSessions,
        logger: Logger,
        fence: Fence | None = None,
    ) -> AsyncIterator[Expiry]:
        """Work for the duration of the block. What an earlier run left is looked at first."""
        expiry = cls(database, writer, whole, logger, fence)
        task = asyncio.get_running_loop().create_task(expiry._run(), name="deleted sessions")
        try:
            yield expiry
        finally:
            task.cancel()
            await asyncio.wait({task})

    def stir(self) -> None:
        """Look again, because a session was deleted."""
        self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            pause = LOOK_SECONDS  # if the database is away
            try:
                pause = await self._look()
            except HistoryUnavailable:
                pass  # the writer has logged it, or the next look succeeds
            except Exception as error:
                self._logger.error("history_expiry_failed", exc_info=error)
            alarm = loop.call_later(pause, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                alarm.cancel()

    async def _look(self) -> float:
        """Delete what is over; return after how many seconds to look again. Raises `HistoryUnavailable`."""
        node_id = self._fence.node_id if self._fence is not None else None
        left = await self._database.read(lambda connection: read_times_left(connection, node_id))
        pauses = [self._longest, *(seconds for seconds in left.values() if seconds > 0)]
        for session_id, seconds in left.items():
            if seconds > 0:
                continue
            try:
                await self._expire(session_id)
            except Exception as error:
                self._logger.error("history_expiry_failed", session=session_id, exc_info=error)
                pauses.append(LOOK_SECONDS)
                if self._writer.load().failing:
                    break  # the database is away, so each of the others would wait for as long
        return max(min(pauses), SOON)

    async def _expire(self, session_id: str) -> None:
        try:
            await self._writer.now(Expire(session_id))
        except LeaseLost:
            return  # another node has just taken it
        if await self._database.read(lambda connection: read_owner(connection, session_id)) == HIDDEN:
            self._whole.go_on_deleting(session_id)
