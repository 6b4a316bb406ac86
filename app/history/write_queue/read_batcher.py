"""Reads that gather: what many ask for at one moment is read once, and what waits goes to the database together.

After a restart every viewer comes back in the same second. Each has its answer, and the database sees a few
transactions: never one for each of them, and never more than `LANES` at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from app.chat.errors import HistoryUnavailable, TailraceError
from app.history.database import Database, T, Work

LANES = 2  # transactions at a time
TOGETHER = 16  # reads in one of them


class _Read:
    """One read, and everybody who asked for it before it began."""

    __slots__ = ("waiters", "work")

    def __init__(self, work: Work[Any]) -> None:
        self.work = work
        self.waiters: list[asyncio.Future[Any]] = []

    def settle(self, outcome: Any) -> None:
        """Tell everybody what was found, or what went wrong."""
        for waiter in self.waiters:
            if waiter.done():
                continue
            if isinstance(outcome, Exception):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)


class ReadBatcher:
    """Made by the context manager `gathering`, which owns the tasks that read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[Hashable, _Read] = {}  # in the order of asking
        self._lanes: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Reads waiting={len(self._waiting)} lanes={len(self._lanes)}>"

    @classmethod
    @asynccontextmanager
    async def gathering(cls, database: Database) -> AsyncIterator[ReadBatcher]:
        """Read for as long as the block lasts; whoever still waits then is cancelled."""
        reads = cls(database)
        try:
            yield reads
        finally:
            lanes = tuple(reads._lanes)
            for lane in lanes:
                lane.cancel()
            if lanes:
                await asyncio.wait(lanes)
            for read in reads._waiting.values():
                for waiter in read.waiters:
                    waiter.cancel()

    async def read(self, key: Hashable, work: Work[T]) -> T:
        """Do work that reads; `key` says what it reads. Raises what the work raises, or `HistoryUnavailable`.

        It begins after the call, so it sees all that was kept before. What is returned may be shared with others.
        """
        read = self._waiting.get(key)
        if read is None:
            read = self._waiting[key] = _Read(work)
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        read.waiters.append(waiter)
        if len(self._lanes) < LANES:
            lane = asyncio.get_running_loop().create_task(self._run(), name="history reads")
            self._lanes.add(lane)
        return await waiter

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._take()
        finally:
            # Here and not in a callback, which runs later: meanwhile a read would count on a lane that is over.
            self._lanes -= {lane for lane in self._lanes if lane is asyncio.current_task()}

    async def _take(self) -> None:
        keys = list(islice(self._waiting, TOGETHER))
        together = [self._waiting.pop(key) for key in keys]
        try:
            await self._do(together)
        finally:  # also if the server ends in the middle
            for read in together:
                read.settle(HistoryUnavailable("The server is shutting down. Try again in a moment."))

    async def _do(self, together: Sequence[_Read]) -> None:
        def work(connection: Connection) -> list[Any]:
            return [_attempted(read.work, connection) for read in together]

        try:
            outcomes = await self._database.read(work)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            if len(together) > 1 and not isinstance(error, HistoryUnavailable):
                # One of them is at fault. It must not take the others with it.
                for read in together:
                    await self._do([read])
                return
            outcomes = [error] * len(together)
        for read, outcome in zip(together, outcomes, strict=True):
            read.settle(outcome)


def _attempted(work: Work[Any], connection: Connection) -> Any:
    """Return what the work finds, or why it finds nothing; what is wrong with the database is raised."""
    try:
        return work(connection)
    except TailraceError as error:
        return error
