"""The only writer: it writes queued changes in batches, one transaction per batch, in order.

A change with a waiter is written at once, with everything queued before it. Changes without a waiter, and the growth
of answers, are written every quarter of a second. So there is never a transaction per token or per stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import Connection, false

from app.chat.errors import DiskFull, HistoryUnavailable, LeaseLost, Refused
from app.chat.ports import Logger
from app.chat.records import Admission, HistoryLoad
from app.history.database import Database
from app.history.fence import Fence, Key
from app.history.statements.admit import Results
from app.history.statements.ahead import Ahead, read_ahead
from app.history.statements.apply import apply, grow
from app.history.statements.tables import keys
from app.history.write_queue.ahead import ReadAhead
from app.history.write_queue.changes import Change, session_of
from app.history.write_queue.fencing import Fenced
from app.history.write_queue.pending import Cut, Pending, PendingAnswer, mark_written
from app.history.write_queue.queue import InDoubt, QueuedChange, WriteQueue
from app.measures import QUICK, Histogram
from app.tasks.waiting import first_done

TICK = 0.25  # seconds between batches without a waiter
TEND = 1.0  # seconds between calls of `Database.tend`, while there are changes
WAIT = 5.0  # seconds that a waiter waits at most
LAST = 1.0  # seconds to write the rest of the queue at shutdown
NOTHING_FENCED = Fenced(set(), set(), set())
SLOWEST = 4.0  # maximum seconds between attempts while the database does not respond


class Writer:
    """Runs in its own task, which the context manager `writing` owns."""

    def __init__(
        self, database: Database, unwritten: Pending, logger: Logger, fence: Fence | None = None
    ) -> None:
        self._fence = fence  # in a cluster
        self._database = database
        self._unwritten = unwritten
        self._logger = logger
        self._loop = asyncio.get_running_loop()
        self._line = WriteQueue()
        self._wake = asyncio.Event()
        self._next = 0.0  # loop time of the next batch without a waiter
        self._tended = 0.0
        self._untended = False  # whether anything was written since `_tended`
        self._failures = 0  # in a row
        self._away = False  # whether the last one said that the database does not respond
        self._committing = False  # whether a failure now would leave the commit in doubt
        self._closing = False
        self.ahead = ReadAhead()
        self.batches = Histogram(QUICK)  # s, of the transactions that were committed

    def __repr__(self) -> str:
        return f"<Writer {self._line!r} failures={self._failures}>"

    @classmethod
    @asynccontextmanager
    async def writing(
        cls, database: Database, unwritten: Pending, logger: Logger, fence: Fence | None = None
    ) -> AsyncIterator[Writer]:
        """Write for the duration of the block, then write the rest of the queue for `LAST` seconds at most."""
        writer = cls(database, unwritten, logger, fence)
        task = writer._loop.create_task(writer._run(), name="history writer")
        try:
            yield writer
        finally:
            writer._closing = True
            writer._wake.set()
            try:
                await asyncio.wait({task}, timeout=LAST)
            finally:  # even if the wait is cancelled: the task must not write to a closed database
                task.cancel()
                await asyncio.wait({task})
                if writer._line:
                    logger.error("history_left_behind", changes=len(writer._line))

    # ---- interface -------------------------------------------------------------------------------------------

    def later(self, change: Change, answer: PendingAnswer | None = None) -> None:
        """Queue a change without waiting for it. Raises `HistoryUnavailable` if the queue is full."""
        key = answer.key if answer is not None else self.key(session_of(change))
        self._line.append(QueuedChange(change, None, answer, key))
        if answer is not None:
            answer.pending += 1
        self._wake.set()

    async def now(self, change: Change) -> Admission | None:
        """Write a change and return when it is on disk, for an `Admit` with its result. Waits `WAIT` seconds at most.

        Raises the error that refuses the change, or `HistoryUnavailable`: the change was not written. After `InDoubt`,
        or if the caller is cancelled, it is unknown whether the change was or will be written.
        """
        waiter: asyncio.Future[Admission | None] = self._loop.create_future()
        entry = QueuedChange(change, waiter, None, self.key(session_of(change)))
        self._line.append(entry)
        self._wake.set()
        try:
            await first_done(waiter, seconds=WAIT)
            if waiter.done():
                return waiter.result()
        finally:
            waiter.cancel()  # its result is no longer needed; no effect if it is done
        late = HistoryUnavailable if self._line.remove(entry) else InDoubt
        raise late("Chat history can't keep up right now. Try again in a moment.")

    def key(self, session_id: str | None) -> Key | None:
        """Return the lease under which changes of a session are made now. Without a cluster there is none."""
        if self._fence is None or session_id is None:
            return None
        return session_id, self._fence.epoch(session_id)

    def load(self) -> HistoryLoad:
        """Return what is waiting to be written, and the times of the batches so far."""
        return HistoryLoad(
            changes=len(self._line), bytes=self._line.size, failing=self._failures > 0, batches=self.batches
        )

    def stir(self) -> None:
        """Wake the writer because an answer has started to grow."""
        self._wake.set()

    # ---- scheduling ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._closing:
            await self._until_due()
            await self._write()
        while True:
            self._next = 0.0
            await self._write()
            if not self._line:
                return
            await asyncio.sleep(TICK)

    async def _until_due(self) -> None:
        """Return when a change has a waiter, when the next batch is due, or at shutdown."""
        while not (self._line.awaited or self._closing):
            self._wake.clear()
            due = self._due()
            if due is not None and due <= self._loop.time():
                return
            alarm = None if due is None else self._loop.call_at(due, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                if alarm is not None:
                    alarm.cancel()

    def _due(self) -> float | None:
        if self._line or self._unwritten.growing or self._away:
            return self._next
        return self._tended + TEND if self._untended else None

    # ---- writing ---------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Write a batch. Waiters get the result or the error; entries without a waiter stay queued until written."""
        entries = self._line.take()
        cut: list[Cut] = []
        if self._next <= self._loop.time():
            self._next = self._loop.time() + TICK
            cut = self._unwritten.cut()
        try:
            if entries or cut:
                await self._commit(entries, cut)
            elif self._away and not self._closing:
                await self._database.write(_touch)
                self._recovered()
            await self._tend()
        except HistoryUnavailable as error:
            # A full disk rolls the transaction back, also at its commit.
            in_doubt = self._committing and not isinstance(error, DiskFull)
            self._postpone(entries, InDoubt(str(error)) if in_doubt else error)
        except Exception as error:
            self._logger.error("history_batch_refused", changes=len(entries), exc_info=error)
            await self._one_by_one(entries, cut)

    async def _commit(self, entries: Sequence[QueuedChange], cut: Sequence[Cut]) -> None:
        fenced = NOTHING_FENCED

        def work(connection: Connection) -> tuple[Results, Mapping[str, Ahead]]:
            nonlocal fenced
            self._committing = False  # the database may run the work again
            if self._fence is not None:
                fenced = Fenced.of(connection, self._fence, entries, cut)
            if pieces := [piece for place, (_, piece) in enumerate(cut) if place not in fenced.cut]:
                grow(connection, pieces)
            made = [entry.change for place, entry in enumerate(entries) if place not in fenced.entries]
            results = apply(connection, self._database.node, made)
            ahead = read_ahead(connection, made, results) if self._database.is_own else {}
            self._committing = True
            left = iter(results)
            every = [LeaseLost() if place in fenced.entries else next(left) for place in range(len(entries))]
            return every, ahead

        self._committing = False
        began = self._loop.time()
        self.ahead.forget([entry.change for entry in entries])
        results, ahead = await self._database.write(work)
        self.ahead.keep(ahead)
        if fenced.keys:
            self._lose(fenced)
        self.batches.observe(self._loop.time() - began)
        self._committing = False
        self._untended = True
        self._committed(entries, cut, results)

    def _committed(self, entries: Sequence[QueuedChange], cut: Sequence[Cut], results: Results) -> None:
        mark_written(cut)
        for entry, result in zip(entries, results, strict=True):
            if isinstance(result, Refused):
                entry.fail(result)
            else:
                entry.succeed(result)
            if entry.answer is not None:
                self._unwritten.written(entry.answer)
        self._recovered()

    def _recovered(self) -> None:
        self._away = False
        if self._failures:
            self._failures = 0
            self._logger.info("history_available", changes=len(self._line))

    def _lose(self, fenced: Fenced) -> None:
        """Drop everything that was made under leases which another node has now."""
        if self._fence is not None and (fenced.entries or fenced.cut):
            self._unwritten.forget_lost(fenced.keys)
            self._logger.warning(
                "history_fenced",
                sessions=sorted({session_id for session_id, _ in fenced.keys}),
                changes=len(fenced.entries),
                pieces=len(fenced.cut),
            )
            self._fence.lost(fenced.keys)

    def _postpone(self, entries: Sequence[QueuedChange], error: HistoryUnavailable) -> None:
        for entry in entries:
            entry.fail(error)
        self._line.put_back([entry for entry in entries if entry.waiter is None])
        self._failures += 1
        # With nothing left to write nobody would find out that it is back. A full disk is found out by a write alone.
        self._away = not isinstance(error, DiskFull)
        self._next = self._loop.time() + min(TICK * 2**self._failures, SLOWEST)
        if self._failures == 1:
            self._logger.error("history_unavailable", error=str(error), changes=len(self._line))

    async def _one_by_one(self, entries: Sequence[QueuedChange], cut: Sequence[Cut]) -> None:
        """Write the entries of a rejected batch one at a time, so that one bad entry does not block the others."""
        for index, entry in enumerate(entries):
            try:
                await self._commit([entry], [])
            except HistoryUnavailable as error:
                self._postpone(entries[index:], error)
                return
            except Exception as error:  # noqa: BLE001 - it is logged, and the waiter gets it
                self._give_up(entry, error)
        mark_written(cut)  # the pieces are skipped: the whole answer is written at its end

    def _give_up(self, entry: QueuedChange, error: Exception) -> None:
        self._logger.error("history_change_lost", change=type(entry.change).__name__, exc_info=error)
        entry.fail(HistoryUnavailable("Chat history couldn't save this. The log has the details."))
        if entry.answer is not None:
            self._unwritten.written(entry.answer)

    async def _tend(self) -> None:
        if self._untended and self._tended + TEND <= self._loop.time():
            self._tended, self._untended = self._loop.time(), False
            try:
                await self._database.tend()
            except HistoryUnavailable as error:
                self._untended = True
                self._logger.warning("history_tend_failed", error=str(error))


def _touch(connection: Connection) -> None:
    """Ask whether the database takes writes, and change nothing."""
    connection.execute(keys.delete().where(false()))
