"""Wrong ways to end a stream."""

from __future__ import annotations

import asyncio

from app.chat.states import Reason
from app.chat.submission import Submission
from app.log.session_log import SessionLog
from tests.schedules.plain import Entry, PlainRegistry, Slot
from tests.schedules.wrong.waiting import CancelsWaiting


class PopsWithoutCompare(PlainRegistry):
    """The slot holds the newest stream; an older one that ends empties it, whoever is in it."""

    def put(self, ask: Submission) -> Entry:
        entry = super().put(ask)
        self.session(ask.session_id).entries[:] = [entry]
        return entry

    def free(self, slot: Slot, entry: Entry) -> None:
        super().free(slot, entry)
        slot.entries.clear()


class CleansUpInFinally(CancelsWaiting):
    """Its clean-up is the `finally` of its task: a task cancelled before its first step never gets there."""

    def start(self, ask: Submission, entry: Entry, before: list[Entry]) -> None:
        run = self.run(ask, entry, before)
        entry.task = asyncio.get_running_loop().create_task(run, name=f"producer {entry.stream_id}")

    async def run(self, ask: Submission, entry: Entry, before: list[Entry]) -> None:
        try:
            await super().run(ask, entry, before)
        finally:
            self.free(self.session(ask.session_id), entry)


class EndsBeforeClosing(PlainRegistry):
    """Reports the end, and closes the connection afterwards."""

    async def close_upstream(self, entry: Entry) -> None:
        entry.closed = True  # it soon will be

    async def end(self, log: SessionLog, entry: Entry) -> None:
        await super().end(log, entry)
        await super().close_upstream(entry)


class StopNamesTheSession(PlainRegistry):
    """A stop finds the session of its stream, and stops what runs there."""

    async def stop(self, owner: str, stream_id: str, *, wait: float) -> None:
        for slot in self.slots.values():
            entries = slot.log.read(0).entries
            if any(entry.stream_id == stream_id for entry in entries):
                for running in slot.entries[-1:]:
                    self.signal(running, Reason.USER_STOP)
