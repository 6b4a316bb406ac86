"""Wrong ways to wait for a predecessor."""

from __future__ import annotations

import asyncio

from app.chat.states import Reason
from app.chat.submission import Submission
from app.log.session_log import SessionLog
from app.streams.registry import Registered
from tests.schedules.plain import Entry, PlainRegistry


class CancelsWaiting(PlainRegistry):
    """What many of these have in common: a signal cancels the task, wherever it is."""

    def signal(self, entry: Entry, reason: Reason) -> None:
        if entry.signal is None:
            entry.signal = reason
            if entry.task is not None:
                entry.task.cancel()


class Report(CancelsWaiting):
    """`register` as the report writes it: `wait_for` raises what the cancelled predecessor raises."""

    async def register(self, ask: Submission) -> Registered:
        async with self.lock:
            previous = next(reversed(self.session(ask.session_id).entries), None)
        if previous is not None and previous.task is not None:
            self.signal(previous, Reason.NEW_STREAM)
            try:
                await asyncio.wait_for(previous.task, timeout=2.0)
            except TimeoutError:
                self.logger.warning("prev_stream_timeout_on_cancel", trace=previous.stream_id)
        async with self.lock:
            entry = self.put(ask)
        self.start(ask, entry, [])
        return self.answer(ask, entry)

    async def run(self, ask: Submission, entry: Entry, before: list[Entry]) -> None:
        await super().run(ask, entry, before)
        if entry.signal is not None:
            raise asyncio.CancelledError  # as a generator does that was cancelled


class WaitsThenRegisters(PlainRegistry):
    """Waits well, but outside the lock, and registers afterwards: two that waited together both register."""

    async def register(self, ask: Submission) -> Registered:
        before = list(self.session(ask.session_id).entries)
        for older in before:
            self.signal(older, Reason.NEW_STREAM)
        await self.wait_for(self.session(ask.session_id).log, before)
        async with self.lock:
            entry = self.put(ask)
        self.start(ask, entry, [])
        return self.answer(ask, entry)


class WaitsForTheLastOnly(CancelsWaiting):
    """Waits for its immediate predecessor, which may be cancelled in the queue, before *its* predecessor has ended."""

    def claim(self, ask: Submission) -> tuple[Entry, list[Entry]]:
        entry, before = super().claim(ask)
        return entry, before[-1:]

    async def wait_for(self, log: SessionLog, before: list[Entry]) -> None:
        try:
            await super().wait_for(log, before)
        except asyncio.CancelledError:
            return  # superseded while queued: go straight to the end


class CancelsEveryTime(PlainRegistry):
    """Waits for all, and cancels each one again: the second cancel aborts the clean-up that the first began."""

    def signal(self, entry: Entry, reason: Reason) -> None:
        again = entry.signal is not None
        super().signal(entry, reason)
        if again and entry.generation is not None and entry.task is not None:
            entry.task.cancel()

    async def generate(self, log: SessionLog, entry: Entry) -> None:
        try:
            await super().generate(log, entry)
        except asyncio.CancelledError:
            return  # on to the end, for each stream has one


class WaitForIsTheBound(PlainRegistry):
    """Bounds its wait with `wait_for`, which cancels the task and then waits for it as long as it takes."""

    async def wait_for(self, log: SessionLog, before: list[Entry]) -> None:
        for entry in before:
            if entry.task is None:
                continue
            try:
                await asyncio.wait_for(entry.task, self.bounds.supersede_timeout)
            except TimeoutError:
                await self.fence_off(log, entry)


class ClaimsAfterAnAwait(PlainRegistry):
    """Looks who is before it, awaits (a lock, a database), and claims with what it saw."""

    async def register(self, ask: Submission) -> Registered:
        before = list(self.session(ask.session_id).entries)
        await asyncio.sleep(0)
        for older in before:
            self.signal(older, Reason.NEW_STREAM)
        entry = self.put(ask)
        self.start(ask, entry, before)
        return self.answer(ask, entry)
