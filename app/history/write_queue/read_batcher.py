"""Batches reads: equal reads that wait are done once, and several waiting reads share a connection.

After a restart all viewers reconnect within a second. They are served by a few connections instead of one for each
viewer, with at most `LANES` at a time.
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

LANES = 2  # connections at a time
TOGETHER = 16  # reads in a row on one


class _Read:
    """One read and the callers that requested it before it started."""

    __slots__ = ("waiters", "work")

    def __init__(self, work: Work[Any]) -> None:
        self.work = work
        self.waiters: list[asyncio.Future[Any]] = []

    def settle(self, outcome: Any) -> None:
        """Give the result, or raise the exception, to all waiters."""
        for waiter in self.waiters:
            if waiter.done():
                continue
            if isinstance(outcome, Exception):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)


class ReadBatcher:
    """Created by the context manager `gathering`, which owns the reading tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[Hashable, _Read] = {}  # in order of arrival
        self._lanes: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<ReadBatcher waiting={len(self._waiting)} lanes={len(self._lanes)}>"

    @classmethod
    @asynccontextmanager
    async def gathering(cls, database: Database) -> AsyncIterator[ReadBatcher]:
        """Read for the duration of the block. Callers that still wait at its end are cancelled."""
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
        """Run read-only work; `key` identifies it. Raises what the work raises, or `HistoryUnavailable`.

        The work starts after the call, so it sees every earlier commit. The result may be shared with other callers.
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
            # Not in a done callback, which runs later: a read in between would rely on a lane that has ended.
            self._lanes -= {lane for lane in self._lanes if lane is asyncio.current_task()}

    async def _take(self) -> None:
        keys = list(islice(self._waiting, TOGETHER))
        together = [self._waiting.pop(key) for key in keys]
        try:
            await self._do(together)
        finally:  # also on cancellation at shutdown
            for read in together:
                read.settle(HistoryUnavailable("The server is shutting down. Try again in a moment."))

    async def _do(self, together: Sequence[_Read]) -> None:
        def work(connection: Connection) -> list[Any]:
            return [_attempted(read.work, connection) for read in together]

        try:
            outcomes = await self._database.read(work)
        except Exception as error:  # noqa: BLE001 - the waiters get it
            if len(together) > 1 and not isinstance(error, HistoryUnavailable):
                # One read failed: repeat each alone, so that the others do not fail with it.
                for read in together:
                    await self._do([read])
                return
            outcomes = [error] * len(together)
        for read, outcome in zip(together, outcomes, strict=True):
            read.settle(outcome)


def _attempted(work: Work[Any], connection: Connection) -> Any:
    """Return the result of the work, or its `TailraceError`; database errors are raised."""
    try:
        return work(connection)
    except TailraceError as error:
        return error
